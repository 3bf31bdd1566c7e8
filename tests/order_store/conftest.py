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
from messaging.ports.changes import Changes, CommitResult, Committed, InboxClaim
from messaging.postgres.pool import open_pools
from order_service.application.ports import OrderChanges, OrderStore
from order_service.domain.fulfilment import Happening
from order_service.domain.order import Order
from order_service.infrastructure.memory_orders import MemoryOrders
from order_service.infrastructure.postgres_orders import PostgresOrders
from tests.domain.orders import reaction

DEADLINE = 20.0


@dataclass(frozen=True, slots=True)
class StoreUnderTest:
    """A store, and the (key, type) of every message in its outbox, each shard in order."""

    orders: OrderStore
    messages: Callable[[], Awaitable[list[tuple[str, str]]]]

    async def commit(self, changes: OrderChanges) -> CommitResult:
        """Commit. A write that is never answered is an error."""
        async with asyncio.timeout(DEADLINE):
            return await self.orders.commit(changes)

    async def create(self, order: Order) -> CommitResult:
        """Commit a placed order."""
        return await self.commit(Changes(order, 0, order.events))

    async def created(self, order: Order) -> Order:
        """Commit a placed order and be sure of it."""
        assert await self.create(order) == Committed()
        return order

    async def update(self, order: Order, expected_version: int) -> CommitResult:
        """Commit what a decision on `expected_version` made of it."""
        return await self.commit(Changes(order, expected_version, order.events))

    async def handle(self, order: Order, happening: Happening, event_id: UUID) -> CommitResult:
        """Commit what `happening` makes of the order, with all its messages, under the claim of an event."""
        reacted = reaction(order, happening)
        return await self.commit(Changes(reacted.order, order.version, reacted.outgoing, InboxClaim(event_id)))


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

        yield StoreUnderTest(MemoryOrders(outbox), waiting)
    else:
        async with postgres_orders(store_dsn, connections=2, max_batch=64) as orders:
            yield StoreUnderTest(orders, lambda: messages_in(store_dsn))


@asynccontextmanager
async def postgres_orders(
    dsn: str, *, connections: int = 1, max_batch: int = 1000, max_waiting: int = 1000
) -> AsyncIterator[PostgresOrders]:
    """A store in a database."""
    async with open_pools(dsn) as pools:
        orders = PostgresOrders(dsn, pools, connections=connections, max_batch=max_batch, max_waiting=max_waiting)
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
