"""The whole order service, wired top to bottom. Nothing else constructs an adapter."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from starlette.types import ASGIApp
from uuid_utils.compat import uuid7

from messaging.changes import StoreUnavailable
from messaging.in_process import InProcessBroker, Subscriber
from messaging.kafka import POSITIONS, Topic, open_kafka_publisher
from messaging.kafka_settings import KafkaSettings
from messaging.logging_publisher import open_logging_publisher
from messaging.memory_outbox import MemoryOutbox
from messaging.metrics import OUTBOX_AGE, OUTBOX_DEPTH
from messaging.outbox import PostgresOutbox, depth_and_age
from messaging.postgres import unavailable_when_away
from messaging.publishing import OpenPublisher, Outbox
from messaging.relay import Relay
from order_service.api.application import orders_api
from order_service.api.health import Health, HealthChecks
from order_service.application.cancel_order import CancelOrder
from order_service.application.complete_order import CompleteOrder
from order_service.application.find_orders import FindOrders
from order_service.application.place_order import PlaceOrder
from order_service.application.publish_events import publish_events
from order_service.infrastructure import database, event_encoding
from order_service.infrastructure.memory_orders import MemoryOrders
from order_service.infrastructure.postgres_orders import PostgresOrders, open_reads
from order_service.settings import OrderSettings, PublisherKind, Role

SERVICE = "order"
FIRST_POSITION_PARTITION = 0  # of the topic outbox-positions: 0 to 3 are ours, 4 to 11 are for the services to come
TOPICS = (Topic(event_encoding.TOPIC, partitions=4), POSITIONS)

log = structlog.get_logger("order-service")


@dataclass(frozen=True, slots=True)
class OrderService:
    """A running service: its HTTP application, and `stop_taking_orders` for when the process is told to end."""

    app: ASGIApp
    checks: HealthChecks

    def stop_taking_orders(self) -> None:
        """Readiness off; requests that come all the same are still answered."""
        self.checks.stopping = True


@asynccontextmanager
async def order_service(
    settings: OrderSettings,
    kafka: KafkaSettings,
    roles: frozenset[Role] = frozenset(Role),
    subscribers: Mapping[str, Subscriber] | None = None,
) -> AsyncIterator[OrderService]:
    """Start the roles, and stop them on leaving: accepted writes are answered, batches at hand are published.

    `subscribers` get the messages of their topics when EVENT_PUBLISHER is in-process.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(_open_store(settings))
        relay = None
        if Role.RELAY in roles:
            publisher = _publisher(settings, kafka, subscribers or {})
            relay = await stack.enter_async_context(_running(Relay(SERVICE, store.outbox, publisher, publish_events)))
        checks = HealthChecks(
            database=store.ping,
            queue_is_full=lambda: store.orders.is_full,
            broker=lambda: _broker_health(relay),
            refresh_metrics=store.refresh_metrics,
        )
        orders = store.orders
        use_cases = (
            PlaceOrder(orders, _now, _new_id),
            FindOrders(orders),
            CancelOrder(orders, _now, _new_id),
            CompleteOrder(orders, _now, _new_id),
        )
        yield OrderService(orders_api(checks, use_cases if Role.API in roles else None), checks)
        log.info("stopping")


def _now() -> datetime:
    return datetime.now(UTC)


_new_id = uuid7


@dataclass(frozen=True, slots=True)
class _Store:
    orders: PostgresOrders | MemoryOrders
    outbox: Outbox
    ping: Any
    refresh_metrics: Any


@asynccontextmanager
async def _open_store(settings: OrderSettings) -> AsyncIterator[_Store]:
    if settings.order_database_url == "memory":
        log.warning("orders are kept in memory: nothing survives a restart", ORDER_DATABASE_URL="memory")
        memory = MemoryOutbox()

        async def nothing() -> None: ...

        async def refresh_memory() -> None:
            _set_outbox_metrics(*memory.depth_and_age())

        yield _Store(MemoryOrders(memory), memory, nothing, refresh_memory)
        return

    dsn = await database.resolve(settings.order_database_url, settings.data_dir)
    if settings.order_database_url == "embedded":
        await database.migrate(dsn)
    reads = await open_reads(dsn)
    orders = PostgresOrders(
        dsn,
        reads,
        connections=settings.commit_connections,
        max_batch=settings.commit_batch_max,
        max_waiting=settings.commit_queue_max,
    )
    outbox = PostgresOutbox(dsn, idle_timeout=settings.relay_idle_timeout_seconds)

    async def refresh() -> None:
        try:
            with unavailable_when_away():
                _set_outbox_metrics(*await depth_and_age(reads))
        except StoreUnavailable:
            _set_outbox_metrics(math.nan, math.nan)  # the other metrics are needed most when the database is away

    try:
        yield _Store(orders, outbox, partial(reads.fetchval, "select 1"), refresh)
    finally:
        await orders.close()
        await outbox.close()
        reads.terminate()


def _set_outbox_metrics(depth: float, age: float) -> None:
    OUTBOX_DEPTH.labels(SERVICE).set(depth)
    OUTBOX_AGE.labels(SERVICE).set(age)


def _publisher(settings: OrderSettings, kafka: KafkaSettings, subscribers: Mapping[str, Subscriber]) -> OpenPublisher:
    match settings.event_publisher:
        case PublisherKind.KAFKA:
            return partial(open_kafka_publisher, kafka, SERVICE, FIRST_POSITION_PARTITION)
        case PublisherKind.LOGGING:
            return open_logging_publisher
        case PublisherKind.IN_PROCESS:
            broker = InProcessBroker()
            for topic, subscriber in subscribers.items():
                broker.subscribe(topic, subscriber)
            return broker.open_publisher


@asynccontextmanager
async def _running(relay: Relay) -> AsyncIterator[Relay]:
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        await relay.finish_batches()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _broker_health(relay: Relay | None) -> Health:
    if relay is None:
        return Health.UNKNOWN
    return Health.UP if relay.is_publishing else Health.DOWN
