"""The metrics of orders."""

import math

from prometheus_client import Gauge

from messaging.ports.changes import StoreUnavailable
from order_service.application.stuck_orders import StuckOrders

STUCK = Gauge("oms_orders_stuck", "Orders whose compensation was asked for again and again without an answer")


async def refresh_metrics(stuck: StuckOrders) -> None:
    """Set the gauges. NaN says that the database is away."""
    try:
        STUCK.set(await stuck.count())
    except StoreUnavailable:
        STUCK.set(math.nan)
