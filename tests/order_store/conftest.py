"""Every order store there is, with a look at the messages it leaves to be published."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import Created, Creation, Duplicate, InboxClaim, Write, Written
from messaging.postgres.doorbell import Wake
from messaging.postgres.pool import open_pools
from order_service.application.ports import OrderCreation, OrderStore, OrderWrite, UnknownOrderStore
from order_service.domain.fulfilment import Happening, Reaction, react
from order_service.domain.order import Order, OrderId
from order_service.infrastructure.memory_orders import MemoryOrders
from order_service.infrastructure.postgres_orders import PostgresOrders
from tests.domain.orders import moment
from tests.real_parts.relays import nobody
from tests.real_parts.waiting import DEADLINE


@dataclass(frozen=True, slots=True)
class StoreUnderTest:
    """A store, that of unknown orders, and the (key, type) of every message in their outbox, each shard in order."""

    orders: OrderStore
    unknown: UnknownOrderStore
    messages: Callable[[], Awaitable[list[tuple[str, str]]]]

    async def create(self, order: Order) -> Created | Duplicate:
        """Store a placed order."""
        return await self.created_by(Creation(order, order.events))

    async def created_by(self, creation: OrderCreation) -> Created | Duplicate:
        """Store a new order. A write that is never answered is an error."""
        async with asyncio.timeout(DEADLINE):
            return await self.orders.create(creation)

    async def created(self, order: Order) -> Order:
        """Store a placed order and be sure of it."""
        assert await self.create(order) == Created()
        return order

    async def write(self, write: OrderWrite) -> Written[Order, Reaction]:
        """Write. One that is never answered is an error."""
        async with asyncio.timeout(DEADLINE):
            return await self.orders.write(write)

    async def update(self, order: Order) -> Written[Order, Reaction]:
        """Store what a decision made of it."""
        return await self.write(becoming(order))

    async def handle(self, order_id: OrderId, happening: Happening, event_id: UUID) -> bool:
        """Handle an event; say whether it had an effect."""
        return (await self.write(handling(order_id, happening, event_id))).decision is not None


def becoming(order: Order) -> OrderWrite:
    """The write of a decision that was made already."""
    return Write(order.id.value, lambda _: Reaction(order))


def handling(order_id: OrderId, happening: Happening, event_id: UUID | None = None) -> OrderWrite:
    """The write of what happens to an order, by an event if it has an id."""
    now, claim = moment(), InboxClaim(event_id) if event_id else None
    return Write(order_id.value, lambda order: react(order, happening, now) if order else None, claim)


@pytest.fixture(params=["memory", "postgres"])
def store_dsn(request: pytest.FixtureRequest) -> str | None:
    """Where the store keeps its orders; None is memory."""
    return str(request.getfixturevalue("database")) if request.param == "postgres" else None


@pytest_asyncio.fixture
async def store(store_dsn: str | None) -> AsyncIterator[StoreUnderTest]:
    """A store with nothing in it."""
    if store_dsn is None:
        outbox = MemoryOutbox()

        async def waiting() -> list[tuple[str, str]]:
            return [(message.key, message.type) for rows in outbox._rows for message in rows.values()]

        memory = MemoryOrders(outbox)
        yield StoreUnderTest(memory, memory.unknown, waiting)
    else:
        async with postgres_orders(store_dsn, connections=2, max_batch=64) as orders:
            yield StoreUnderTest(orders, orders.unknown, lambda: messages_in(store_dsn))


@asynccontextmanager
async def postgres_orders(
    dsn: str, *, wake: Wake = nobody, connections: int = 1, max_batch: int = 1000, max_waiting: int = 1000
) -> AsyncIterator[PostgresOrders]:
    """A store in a database."""
    async with open_pools(dsn) as pools:
        orders = PostgresOrders(dsn, pools, wake, connections=connections, max_batch=max_batch, max_waiting=max_waiting)
        try:
            yield orders
        finally:
            await orders.close()


async def messages_in(dsn: str) -> list[tuple[str, str]]:
    """The (key, type) of every message in the outbox of a database."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("select key, headers->>'ce_type' as type from outbox order by shard, id")
        return [(row["key"], row["type"]) for row in rows]
    finally:
        await connection.close()
