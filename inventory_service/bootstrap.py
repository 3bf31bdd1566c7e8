"""The whole inventory service, wired top to bottom. Nothing else constructs an adapter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import structlog
from starlette.types import ASGIApp
from uuid_utils.compat import uuid7

from http_api.application import HttpPart, http_application
from http_api.health import HealthChecks, broker_health
from inventory_service.api import InventoryUseCases, inventory_http
from inventory_service.application import (
    FindProducts,
    PutProduct,
    ReleaseStock,
    ReserveStock,
    ShipStock,
    add_sample_products,
)
from inventory_service.infrastructure import database, event_encoding
from inventory_service.infrastructure.command_handling import subscriptions
from inventory_service.infrastructure.memory import MemoryStock
from inventory_service.infrastructure.postgres import PostgresStock
from inventory_service.settings import InventorySettings
from messaging.kafka.topics import Topic
from messaging.memory.outbox import MemoryOutbox
from messaging.runtime.database import migrate, resolve
from messaging.runtime.roles import playing
from messaging.runtime.settings import Role
from messaging.runtime.storage import ServiceStorage, memory_storage, open_pool, postgres_storage
from messaging.runtime.transport import Transport

SERVICE = "inventory"
FIRST_POSITION_PARTITION = 4  # of the topic outbox-positions: 4 to 7 are ours
TOPICS = (Topic(event_encoding.TOPIC, partitions=4),)

log = structlog.get_logger("inventory-service")


@dataclass(frozen=True)
class InventoryService:
    """A running service: what it brings to an HTTP application."""

    http: HttpPart

    @cached_property
    def app(self) -> ASGIApp:
        """The application of this service alone."""
        return http_application([self.http])

    def stop_taking_requests(self) -> None:
        """Readiness off; requests that come all the same are still answered."""
        self.http.checks.stopping = True


@asynccontextmanager
async def inventory_service(
    settings: InventorySettings,
    transport: Transport,
    roles: frozenset[Role] = frozenset(Role),
    *,
    samples: bool = False,
) -> AsyncIterator[InventoryService]:
    """Start the roles, and stop them on leaving: accepted writes are answered, batches at hand are published.

    With `samples`, products to try the system with are added to the catalogue.
    """
    async with _open_store(settings) as (stock, storage):
        if samples:
            await add_sample_products(stock)
        commands = subscriptions(
            ReserveStock(stock, _now, _new_id), ReleaseStock(stock, _now, _new_id), ShipStock(stock)
        )
        async with playing(
            roles,
            SERVICE,
            storage,
            transport,
            first_position_partition=FIRST_POSITION_PARTITION,
            subscriptions=commands,
        ) as relay:
            checks = HealthChecks(
                database=storage.ping,
                queue_is_full=lambda: stock.is_full,
                broker=lambda: broker_health(relay.is_publishing if relay else None),
                refresh_metrics=storage.refresh_metrics,
            )
            use_cases = InventoryUseCases(PutProduct(stock), FindProducts(stock))
            yield InventoryService(inventory_http(checks, use_cases if Role.API in roles else None))
            log.info("stopping")


def _now() -> datetime:
    return datetime.now(UTC)


_new_id = uuid7


@asynccontextmanager
async def _open_store(settings: InventorySettings) -> AsyncIterator[tuple[PostgresStock | MemoryStock, ServiceStorage]]:
    if settings.inventory_database_url == "memory":
        outbox = MemoryOutbox()
        yield MemoryStock(outbox), memory_storage(SERVICE, outbox)
        return

    dsn = await resolve(settings.inventory_database_url, settings.data_dir, database.NAME)
    if settings.inventory_database_url == "embedded":
        await migrate(dsn, database.MIGRATIONS)
    async with (
        open_pool(dsn) as pool,
        postgres_storage(SERVICE, dsn, pool, relay_idle_timeout=settings.relay_idle_timeout_seconds) as storage,
    ):
        stock = PostgresStock(
            dsn,
            pool,
            connections=settings.commit_connections,
            max_batch=settings.commit_batch_max,
            max_waiting=settings.commit_queue_max,
        )
        try:
            yield stock, storage
        finally:
            await stock.close()
