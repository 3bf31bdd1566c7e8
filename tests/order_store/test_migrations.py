"""A database of the days before the fulfilment is brought up to date: its orders are not lost, and none waits for
ever."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from uuid_utils.compat import uuid7

from messaging.runtime.migrations import migrate
from order_service.application.fulfil_order import FulfilOrder
from order_service.application.moments import Moments
from order_service.application.sweep_deadlines import SweepDeadlines
from order_service.domain.fulfilment import StockReleased
from order_service.domain.order import OrderId
from order_service.domain.order_status import OrderStatus, StockStatus
from order_service.infrastructure.database import MIGRATIONS
from order_service.infrastructure.postgres_orders import PostgresOrders
from tests.order_store.conftest import messages_in, postgres_orders
from tests.order_store.databases import database_of_revision
from tests.real_parts.postgres import PostgresServer

_OLD_ORDER = """
    insert into orders (id, status, version, lines, reason, history, created_at, updated_at)
    values ($1, $2, $3, '[{"p": "p1", "q": 2}]', $4, $5, now(), now())
"""
_HISTORY = '[["2026-01-01T00:00:00+00:00", "%s", "as it was"]]'
_OLD_EVENT = """
    insert into outbox (shard, event_id, topic, key, headers, value)
    values (0, $1, 'order-events', 'k', '{"ce_type": "OrderCreatedEvent"}', '')
"""


@pytest.fixture
def old_database(postgres: PostgresServer) -> Iterator[str]:
    """A database with the first schema."""
    with database_of_revision(postgres, "0001") as dsn:
        yield dsn


@pytest_asyncio.fixture
async def old_orders(old_database: str) -> AsyncIterator[dict[OrderStatus, UUID]]:
    """An order in each status that orders could be in, and an event that is not published yet."""
    ids = {status: uuid7() for status in (OrderStatus.PENDING, OrderStatus.CANCELLED, OrderStatus.REJECTED)}
    connection = await asyncpg.connect(old_database)
    await connection.execute(_OLD_ORDER, ids[OrderStatus.PENDING], "PENDING", 1, None, "[]")
    for status in (OrderStatus.CANCELLED, OrderStatus.REJECTED):
        await connection.execute(_OLD_ORDER, ids[status], status.value, 2, "as it was", _HISTORY % status)
    await connection.execute(_OLD_EVENT, uuid7())
    await connection.close()
    yield ids


@pytest_asyncio.fixture
async def orders(old_database: str, old_orders: dict[OrderStatus, UUID]) -> AsyncIterator[PostgresOrders]:  # noqa: ARG001
    """The store on that database, brought up to date."""
    await migrate(old_database, MIGRATIONS)
    async with postgres_orders(old_database) as store:
        yield store


@pytest.mark.parametrize(
    ("status", "stock", "reason"),
    [
        (OrderStatus.PENDING, StockStatus.REQUESTED, None),
        (OrderStatus.CANCELLED, StockStatus.RELEASED, "as it was"),
        (OrderStatus.REJECTED, StockStatus.REJECTED, "as it was"),
    ],
)
async def test_every_order_is_read_as_it_was(
    orders: PostgresOrders,
    old_orders: dict[OrderStatus, UUID],
    status: OrderStatus,
    stock: StockStatus,
    reason: str | None,
) -> None:
    order = await orders.find(OrderId(old_orders[status]))

    assert order is not None
    assert (order.status, order.stock, order.payment, order.reason) == (status, stock, None, reason)
    assert order.timeline[-1].status is status


async def test_messages_that_were_not_published_yet_are_still_there(orders: PostgresOrders, old_database: str) -> None:
    assert await orders.newest(status=None, before=None, limit=10)
    assert await messages_in(old_database) == [("k", "OrderCreatedEvent")]


async def test_an_order_that_was_pending_is_due_and_is_taken_back(
    orders: PostgresOrders, old_orders: dict[OrderStatus, UUID], old_database: str
) -> None:
    pending = OrderId(old_orders[OrderStatus.PENDING])
    fulfil = FulfilOrder(orders, Moments(lambda: datetime.now(UTC), uuid7, timedelta(minutes=1)))
    sweep = SweepDeadlines(orders, fulfil, timedelta(minutes=1), lambda: True)
    await _everything_is_published(old_database)

    assert await sweep() == 1
    assert (str(pending), "ReleaseStock") in await messages_in(old_database)
    assert (await fulfil(pending, StockReleased())).status is OrderStatus.CANCELLED
    assert await sweep() == 0


async def _everything_is_published(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("delete from outbox")
    await connection.close()


async def test_migrating_again_changes_nothing(orders: PostgresOrders, old_database: str) -> None:
    before = await orders.newest(status=None, before=None, limit=10)

    await migrate(old_database, MIGRATIONS)

    assert await orders.newest(status=None, before=None, limit=10) == before
