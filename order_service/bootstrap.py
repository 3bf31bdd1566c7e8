"""The wiring of the whole order service. Only this module constructs its adapters."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog

from http_api.running_service import RunningService, health_of
from messaging.kafka.topics import Topic
from messaging.ports.subscription import CaughtUp
from messaging.postgres.tables import EVERY_SERVICES
from messaging.runtime.clock import now
from messaging.runtime.ids import uuid7
from messaging.runtime.roles import Sweep, run_roles
from messaging.runtime.service import Service
from messaging.runtime.settings import RELAY_ALONE, Role
from messaging.runtime.storage import open_store
from messaging.runtime.transport import Transport
from order_service.api.http_part import OrderUseCases, orders_http
from order_service.application.cancel_order import CancelOrder
from order_service.application.cell import ids_of
from order_service.application.complete_order import CompleteOrder
from order_service.application.find_orders import FindOrders
from order_service.application.fulfil_order import FulfilOrder
from order_service.application.moments import Moments
from order_service.application.place_order import PlaceOrder
from order_service.application.stuck_orders import StuckOrders
from order_service.application.sweep_deadlines import SweepDeadlines
from order_service.application.unknown_orders import UnknownOrders
from order_service.infrastructure import command_encoding, database, event_encoding
from order_service.infrastructure.figures import read_figures
from order_service.infrastructure.memory_orders import MemoryOrders
from order_service.infrastructure.order_metrics import observe, observe_unknown, refresh_metrics
from order_service.infrastructure.order_view import view_order
from order_service.infrastructure.partner_events import INVENTORY_TOPIC, PAYMENT_TOPIC, partner_subscriptions
from order_service.infrastructure.postgres_orders import PostgresOrders
from order_service.settings import OrderSettings

log = structlog.get_logger("order-service")


@dataclass(frozen=True)
class OrderService(RunningService):
    """A running order service, with the use cases for operators."""

    stuck: StuckOrders
    unknown: UnknownOrders


@asynccontextmanager
async def order_service(
    settings: OrderSettings, transport: Transport, roles: frozenset[Role] = frozenset(Role)
) -> AsyncIterator[OrderService]:
    """Start the roles. Leaving the block stops them: accepted writes are answered and begun batches are published."""
    async with open_store(SERVICE, settings, roles, in_memory=MemoryOrders, in_postgres=PostgresOrders) as (
        orders,
        storage,
    ):
        step_timeout = timedelta(seconds=settings.step_timeout_seconds)
        moments = Moments(now, uuid7, step_timeout)
        fulfil = FulfilOrder(orders, moments, observe)
        unknown = UnknownOrders(orders.unknown, moments, observe_unknown)

        def sweeps(caught_up: CaughtUp) -> Sequence[Sweep]:
            sweep = SweepDeadlines(orders, fulfil, step_timeout, caught_up)
            return [Sweep("deadlines", min(1.0, settings.step_timeout_seconds / 4), sweep)]

        async with run_roles(
            roles,
            SERVICE.name,
            storage,
            transport,
            subscriptions=partner_subscriptions(fulfil, unknown),
            sweeps=sweeps,
        ) as relay:
            stuck = StuckOrders(orders, fulfil)
            checks = health_of(
                storage,
                relay,
                queue_is_full=lambda: orders.is_full,
                refresh_metrics=(lambda: refresh_metrics(orders, orders.unknown)) if roles != RELAY_ALONE else None,
            )
            use_cases = OrderUseCases(
                PlaceOrder(orders, moments, ids_of(settings.cell, uuid7)),
                FindOrders(orders, checks.stopping),
                CancelOrder(fulfil),
                CompleteOrder(fulfil),
            )
            http = orders_http(checks, use_cases if Role.API in roles else None)
            yield OrderService(http, storage.refused.note, stuck, unknown)
            log.info("stopping")


SERVICE = Service(
    name="order",
    port=8000,
    settings=OrderSettings,
    produces=(
        Topic(event_encoding.TOPIC, partitions=4),
        Topic(command_encoding.INVENTORY_TOPIC, partitions=4),
        Topic(command_encoding.PAYMENT_TOPIC, partitions=4),
    ),
    database_name=database.NAME,
    migrations=database.MIGRATIONS,
    start=order_service,
    tables=("orders", "unknown_orders", *EVERY_SERVICES),
    consumes=(INVENTORY_TOPIC, PAYMENT_TOPIC),
    view_order=view_order,
    read_figures=read_figures,
)
