"""The whole order service, wired top to bottom. Nothing else constructs an adapter."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import structlog
from starlette.types import ASGIApp
from uuid_utils.compat import uuid7

from http_api.application import HttpPart, http_application
from http_api.health import HealthChecks, broker_health
from messaging.kafka.topics import POSITIONS, Topic
from messaging.memory.outbox import MemoryOutbox
from messaging.runtime import database as service_database
from messaging.runtime.roles import Sweep, playing
from messaging.runtime.settings import Role
from messaging.runtime.storage import ServiceStorage, memory_storage, open_pool, postgres_storage
from messaging.runtime.transport import Transport
from order_service.api.application import OrderUseCases, orders_http
from order_service.application.cancel_order import CancelOrder
from order_service.application.complete_order import CompleteOrder
from order_service.application.find_orders import FindOrders
from order_service.application.fulfil_order import FulfilOrder
from order_service.application.place_order import PlaceOrder
from order_service.application.stuck_orders import StuckOrders
from order_service.application.sweep_deadlines import SweepDeadlines
from order_service.infrastructure import command_encoding, database, event_encoding
from order_service.infrastructure.memory_orders import MemoryOrders
from order_service.infrastructure.order_metrics import refresh_metrics
from order_service.infrastructure.partner_events import partner_subscriptions
from order_service.infrastructure.postgres_orders import PostgresOrders
from order_service.settings import OrderSettings

SERVICE = "order"
FIRST_POSITION_PARTITION = 0  # of the topic outbox-positions: 0 to 3 are ours, 4 to 7 inventory's, 8 to 11 payment's
TOPICS = (
    Topic(event_encoding.TOPIC, partitions=4),
    Topic(command_encoding.INVENTORY_TOPIC, partitions=4),
    Topic(command_encoding.PAYMENT_TOPIC, partitions=4),
    POSITIONS,
)

log = structlog.get_logger("order-service")


@dataclass(frozen=True)
class OrderService:
    """A running service: what it brings to HTTP, and what operators ask of it."""

    http: HttpPart
    stuck: StuckOrders

    @cached_property
    def app(self) -> ASGIApp:
        """The service's HTTP application, on its own."""
        return http_application([self.http])

    def stop_taking_requests(self) -> None:
        """Readiness off, for when the process is told to end; requests that come all the same are still answered."""
        self.http.checks.stopping = True


@asynccontextmanager
async def order_service(
    settings: OrderSettings, transport: Transport, roles: frozenset[Role] = frozenset(Role)
) -> AsyncIterator[OrderService]:
    """Start the roles, and stop them on leaving: accepted writes are answered, batches at hand are published."""
    async with AsyncExitStack() as stack:
        storage, orders = await stack.enter_async_context(_open_store(settings))
        fulfil = FulfilOrder(orders, _now, uuid7, timedelta(seconds=settings.step_timeout_seconds))
        relay = await stack.enter_async_context(
            playing(
                roles,
                SERVICE,
                storage,
                transport,
                first_position_partition=FIRST_POSITION_PARTITION,
                subscriptions=partner_subscriptions(fulfil),
                sweeps=[
                    Sweep(
                        "deadlines", min(1.0, settings.step_timeout_seconds / 4), SweepDeadlines(orders, _now, fulfil)
                    )
                ],
            )
        )
        stuck = StuckOrders(orders, fulfil)

        async def refresh() -> None:
            await storage.refresh_metrics()
            await refresh_metrics(stuck)

        checks = HealthChecks(
            database=storage.ping,
            queue_is_full=lambda: orders.is_full,
            broker=lambda: broker_health(relay.is_publishing if relay else None),
            refresh_metrics=refresh,
        )
        use_cases = OrderUseCases(
            PlaceOrder(orders, fulfil, uuid7), FindOrders(orders), CancelOrder(fulfil), CompleteOrder(fulfil)
        )
        http = orders_http(checks, use_cases if Role.API in roles else None)
        yield OrderService(http, stuck)
        log.info("stopping")


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def _open_store(settings: OrderSettings) -> AsyncIterator[tuple[ServiceStorage, PostgresOrders | MemoryOrders]]:
    if settings.order_database_url == "memory":
        outbox = MemoryOutbox()
        yield memory_storage(SERVICE, outbox), MemoryOrders(outbox)
        return
    dsn = await service_database.resolve(settings.order_database_url, settings.data_dir, database.NAME)
    if settings.order_database_url == "embedded":
        await service_database.migrate(dsn, database.MIGRATIONS)
    async with (
        open_pool(dsn) as pool,
        postgres_storage(SERVICE, dsn, pool, relay_idle_timeout=settings.relay_idle_timeout_seconds) as storage,
    ):
        orders = PostgresOrders(
            dsn,
            pool,
            connections=settings.commit_connections,
            max_batch=settings.commit_batch_max,
            max_waiting=settings.commit_queue_max,
        )
        try:
            yield storage, orders
        finally:
            await orders.close()
