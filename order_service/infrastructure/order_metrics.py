"""The metrics of orders."""

import math

from prometheus_client import Gauge

from messaging.ports.changes import StoreUnavailable
from order_service.application.stuck_orders import StuckOrders
from order_service.application.unknown_orders import UnknownOrders

STUCK = Gauge("oms_orders_stuck", "Orders whose compensation was asked for again and again without an answer")
UNKNOWN = Gauge("oms_orders_unknown", "Orders that partners answered about and that are not in the database")


async def refresh_metrics(stuck: StuckOrders, unknown: UnknownOrders) -> None:
    """Set the gauges. NaN says that the database is away."""
    for gauge, count in ((STUCK, stuck.count), (UNKNOWN, unknown.count)):
        try:
            gauge.set(await count())
        except StoreUnavailable:
            gauge.set(math.nan)
