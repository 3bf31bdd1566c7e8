"""The wiring of the whole inventory service. Only this module constructs its adapters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from http_api.running_service import RunningService, health_of
from inventory_service.api import InventoryUseCases, inventory_http
from inventory_service.application import (
    FindProducts,
    PutProduct,
    ReleaseStock,
    ReserveStock,
    SetPrice,
    ShipStock,
    add_sample_products,
)
from inventory_service.infrastructure import database, event_encoding
from inventory_service.infrastructure.command_handling import TOPIC, subscriptions
from inventory_service.infrastructure.memory import MemoryStock
from inventory_service.infrastructure.order_view import view_order
from inventory_service.infrastructure.postgres import PostgresStock
from inventory_service.settings import InventorySettings
from messaging.kafka.topics import Topic
from messaging.postgres.tables import EVERY_SERVICES
from messaging.runtime.clock import now
from messaging.runtime.ids import uuid7
from messaging.runtime.roles import run_roles
from messaging.runtime.service import Service
from messaging.runtime.settings import Role
from messaging.runtime.storage import open_store
from messaging.runtime.transport import Transport

log = structlog.get_logger("inventory-service")


@asynccontextmanager
async def inventory_service(
    settings: InventorySettings,
    transport: Transport,
    roles: frozenset[Role] = frozenset(Role),
    *,
    samples: bool = False,
) -> AsyncIterator[RunningService]:
    """Start the roles. Leaving the block stops them: accepted writes are answered and begun batches are published.

    With `samples`, products for trials are added to the catalogue.
    """
    async with open_store(SERVICE, settings, roles, in_memory=MemoryStock, in_postgres=PostgresStock) as (
        stock,
        storage,
    ):
        if samples:
            await add_sample_products(stock)
        commands = subscriptions(ReserveStock(stock, now, uuid7), ReleaseStock(stock, now, uuid7), ShipStock(stock))
        async with run_roles(roles, SERVICE.name, storage, transport, subscriptions=commands) as relay:
            checks = health_of(storage, relay, queue_is_full=lambda: stock.is_full)
            use_cases = InventoryUseCases(PutProduct(stock), SetPrice(stock), FindProducts(stock))
            http = inventory_http(checks, use_cases if Role.API in roles else None)
            yield RunningService(http, storage.refused.note)
            log.info("stopping")


SERVICE = Service(
    name="inventory",
    port=8001,
    settings=InventorySettings,
    produces=(Topic(event_encoding.TOPIC, partitions=4),),
    database_name=database.NAME,
    migrations=database.MIGRATIONS,
    start=inventory_service,
    tables=("products", "reservations", *EVERY_SERVICES),
    consumes=(TOPIC,),
    view_order=view_order,
)
