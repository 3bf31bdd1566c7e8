"""Every stock store there is, with a look at what it keeps and at the messages it leaves to be published."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
import pytest_asyncio

from inventory_service.application import StockStore, StockWrite
from inventory_service.domain import Product, Reservation, ReservationStatus, ReservedLine
from inventory_service.infrastructure.database import MIGRATIONS
from inventory_service.infrastructure.memory import MemoryStock
from inventory_service.infrastructure.postgres import PostgresStock
from messaging.memory.outbox import MemoryOutbox
from messaging.postgres.doorbell import Wake
from messaging.postgres.pool import open_pools
from messaging.runtime.migrations import migrate
from shared_kernel.money import Money
from shared_kernel.product import ProductId
from tests.inventory_service.catalogue import client_of
from tests.inventory_service.stock import has_effect
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.relays import nobody
from tests.real_parts.waiting import DEADLINE

_TEMPLATE = "template_inventory"


@pytest.fixture(scope="session")
def inventory_template(postgres: PostgresServer) -> str:
    """A database with the service's whole schema, to be cloned."""
    postgres.execute(f"drop database if exists {_TEMPLATE}")  # other folders use this fixture, and have made it
    postgres.execute(f"create database {_TEMPLATE}")
    asyncio.run(migrate(postgres.dsn_of(_TEMPLATE), MIGRATIONS))
    return _TEMPLATE


@pytest.fixture
def inventory_database(postgres: PostgresServer, inventory_template: str) -> Iterator[str]:
    """The DSN of an empty database of the service, for this test alone."""
    name = f"inventory_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"create database {name} template {inventory_template}")
    yield postgres.dsn_of(name)
    postgres.execute(f"drop database if exists {name} with (force)")


@dataclass(frozen=True, slots=True)
class StockUnderTest:
    """A store; the same stock as another instance of the service sees it; and what is kept there."""

    store: StockStore
    another: StockStore
    reservations: Callable[[], Awaitable[dict[UUID, Reservation]]]
    messages: Callable[[], Awaitable[list[tuple[str, str]]]]
    """The (key, type) of every message in the outbox, each shard in order."""

    async def write(self, write: StockWrite) -> bool:
        """Write; say whether it had an effect. A write that is never answered is an error."""
        async with asyncio.timeout(DEADLINE):
            return await has_effect(self.store, write)

    async def add(self, *products: Product) -> None:
        """Put products into the catalogue."""
        for product in products:
            await self.store.change_product(product.id, lambda _, product=product: product)  # type: ignore[misc]

    async def stock(self, name: str) -> tuple[int, int]:
        """How many pieces of a product are on hand, and how many of them are reserved."""
        product = await self.store.find(ProductId(name))
        assert product is not None, f"there is no product {name}"
        return product.on_hand, product.reserved

    async def status(self, order_id: UUID) -> str | None:
        """Where the order's reservation stands."""
        reservation = (await self.reservations()).get(order_id)
        return reservation.status.value if reservation else None

    async def answers(self, order_id: UUID) -> list[str]:
        """The types of the messages about an order, in order."""
        return [kind for key, kind in await self.messages() if key == str(order_id)]

    async def assert_nothing_is_lost(self, **on_hand: int) -> None:
        """What is reserved is the sum of what orders hold; what is on hand is what there was, less what was shipped."""
        held: dict[str, int] = dict.fromkeys(on_hand, 0)
        shipped: dict[str, int] = dict.fromkeys(on_hand, 0)
        for reservation in (await self.reservations()).values():
            for line in reservation.lines:
                held[line.product_id.value] += line.quantity * (reservation.status == "RESERVED")
                shipped[line.product_id.value] += line.quantity * (reservation.status == "SHIPPED")
        found = {name: await self.stock(name) for name in on_hand}
        assert found == {name: (on_hand[name] - shipped[name], held[name]) for name in on_hand}


@asynccontextmanager
async def instance(dsn: str, *, max_batch: int = 64, wake: Wake = nobody) -> AsyncIterator[PostgresStock]:
    """The store of one instance of the service."""
    async with open_pools(dsn) as pools:
        store = PostgresStock(dsn, pools, wake, connections=2, max_batch=max_batch, max_waiting=10_000)
        try:
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def postgres_stock(dsn: str, *, max_batch: int = 64) -> AsyncIterator[StockUnderTest]:
    """Two instances on one database."""
    async with instance(dsn, max_batch=max_batch) as store, instance(dsn, max_batch=max_batch) as another:
        yield StockUnderTest(store, another, lambda: _reservations_in(dsn), lambda: _messages_in(dsn))


@asynccontextmanager
async def memory_stock() -> AsyncIterator[StockUnderTest]:
    """Memory, where one instance is all there can be."""
    outbox = MemoryOutbox()
    store = MemoryStock(outbox)

    async def reservations() -> dict[UUID, Reservation]:
        return dict(store._rows.rows)

    async def messages() -> list[tuple[str, str]]:
        return [(message.key, message.type) for rows in outbox._rows for message in rows.values()]

    yield StockUnderTest(store, store, reservations, messages)


@pytest.fixture(params=["memory", "postgres"])
def inventory_database_url(request: pytest.FixtureRequest) -> str:
    """INVENTORY_DATABASE_URL."""
    return "memory" if request.param == "memory" else str(request.getfixturevalue("inventory_database"))


@pytest_asyncio.fixture
async def stock(inventory_database_url: str) -> AsyncIterator[StockUnderTest]:
    """A store with nothing in it."""
    in_memory = inventory_database_url == "memory"
    async with memory_stock() if in_memory else postgres_stock(inventory_database_url) as under_test:
        yield under_test


@pytest_asyncio.fixture
async def api(stock: StockUnderTest) -> AsyncIterator[httpx.AsyncClient]:
    """The API on every store."""
    async with client_of(stock.store) as client:
        yield client


@pytest_asyncio.fixture
async def memory_api() -> AsyncIterator[httpx.AsyncClient]:
    """The API where the store does not matter."""
    async with client_of(MemoryStock(MemoryOutbox())) as client:
        yield client


async def fetch(dsn: str, query: str, *arguments: object) -> list[Any]:
    """Ask a database of its own connection."""
    connection = await asyncpg.connect(dsn)
    try:
        rows: list[Any] = await connection.fetch(query, *arguments)
        return rows
    finally:
        await connection.close()


async def _reservations_in(dsn: str) -> dict[UUID, Reservation]:
    rows = await fetch(dsn, "select order_id, status, lines, currency, reason from reservations")
    return {
        row["order_id"]: Reservation(
            order_id=row["order_id"],
            status=ReservationStatus(row["status"]),
            lines=tuple(
                ReservedLine(ProductId(line["p"]), line["q"], Money(line["u"], row["currency"]))
                for line in json.loads(row["lines"])
            ),
            reason=row["reason"],
        )
        for row in rows
    }


async def _messages_in(dsn: str) -> list[tuple[str, str]]:
    rows = await fetch(dsn, "select key, headers->>'ce_type' as type from outbox order by shard, id")
    return [(row["key"], row["type"]) for row in rows]
