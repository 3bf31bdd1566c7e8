"""Claims in PostgreSQL: two instances that race, batches that fail, and what is left in the inbox."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest_asyncio
from uuid_utils.compat import uuid7

from messaging.ports.changes import Changes, Committed, Conflict, Duplicate, InboxClaim
from order_service.application.ports import OrderChanges
from order_service.domain.fulfilment import Happening, PaymentCaptured, StockRejected
from order_service.domain.order import Order
from order_service.infrastructure.postgres_orders import PostgresOrders
from tests.domain.orders import RESERVED, placed_order, reaction, stored
from tests.order_store.conftest import messages_in, postgres_orders


@pytest_asyncio.fixture
async def instances(database: str) -> AsyncIterator[tuple[PostgresOrders, PostgresOrders]]:
    """The stores of two instances of the service."""
    async with postgres_orders(database) as left, postgres_orders(database) as right:
        yield left, right


@pytest_asyncio.fixture
async def sql(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, in autocommit."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


def _handled(order: Order, happening: Happening, event_id: UUID) -> OrderChanges:
    reacted = reaction(order, happening)
    return Changes(reacted.order, order.version, reacted.outgoing, InboxClaim(event_id))


async def _placed(orders: PostgresOrders, count: int) -> list[Order]:
    placed = [placed_order() for _ in range(count)]
    await asyncio.gather(*(orders.commit(Changes(order, 0, order.events)) for order in placed))
    return placed


async def _claims(sql: asyncpg.Connection) -> set[UUID]:
    return {row["event_id"] for row in await sql.fetch("select event_id from inbox")}


async def test_two_instances_that_handle_the_same_messages_store_each_once(
    instances: tuple[PostgresOrders, PostgresOrders], database: str, sql: asyncpg.Connection
) -> None:
    """The partition went to the other instance while the first one was still at it. They take the orders in opposite
    sequences, and must not deadlock."""
    left, right = instances
    placed = await _placed(left, 100)
    events = {order.id: uuid7() for order in placed}
    changes = [_handled(order, RESERVED, events[order.id]) for order in placed]

    async with asyncio.timeout(30):
        outcomes = await asyncio.gather(
            *(left.commit(change) for change in changes), *(right.commit(change) for change in reversed(changes))
        )

    assert Counter(type(outcome) is Committed for outcome in outcomes) == {True: 100, False: 100}
    assert await _claims(sql) == set(events.values())
    assert Counter(kind for _, kind in await messages_in(database)) == {"OrderCreatedEvent": 100, "ChargePayment": 100}
    assert await sql.fetchval("select count(*) from orders where version <> 2") == 0


async def test_a_claim_that_another_instance_is_about_to_take_is_waited_for(
    instances: tuple[PostgresOrders, PostgresOrders], sql: asyncpg.Connection
) -> None:
    """It is taken when the other one commits, and free when it does not."""
    left, _ = instances
    kept, given_back = await _placed(left, 2)
    events = {kept.id: uuid7(), given_back.id: uuid7()}

    for order, ending, expected in (
        (kept, "commit", Duplicate(kept.id.value)),
        (given_back, "rollback", Committed()),
    ):
        await sql.execute("begin")
        await sql.execute("insert into inbox (event_id) values ($1)", events[order.id])
        waiting = asyncio.create_task(left.commit(_handled(order, RESERVED, events[order.id])))
        await _until_one_waits(sql)
        await sql.execute(ending)
        assert await waiting == expected


async def test_a_change_that_cannot_be_stored_gives_its_claim_back_and_its_neighbours_keep_theirs(
    instances: tuple[PostgresOrders, PostgresOrders], database: str, sql: asyncpg.Connection
) -> None:
    left, _ = instances
    placed = await _placed(left, 20)
    events = {order.id: uuid7() for order in placed}
    changes = [_handled(order, StockRejected("sold out"), events[order.id]) for order in placed]
    object.__setattr__(changes[7].aggregate, "reason", "not storable \x00")

    outcomes = await asyncio.gather(*(left.commit(change) for change in changes), return_exceptions=True)

    assert [place for place, outcome in enumerate(outcomes) if outcome != Committed()] == [7]
    assert await _claims(sql) == set(events.values()) - {events[placed[7].id]}
    assert await left.find(placed[7].id) == stored(placed[7])
    assert (str(placed[7].id), "OrderRejectedEvent") not in await messages_in(database)


async def test_a_stale_change_leaves_nothing_behind(
    instances: tuple[PostgresOrders, PostgresOrders], sql: asyncpg.Connection
) -> None:
    left, right = instances
    (order,) = await _placed(left, 1)
    await left.commit(_handled(order, RESERVED, uuid7()))
    before = await _claims(sql)

    assert await right.commit(_handled(order, StockRejected("sold out"), uuid7())) == Conflict()

    assert await _claims(sql) == before


async def test_changes_with_and_without_a_claim_are_stored_by_one_transaction(
    instances: tuple[PostgresOrders, PostgresOrders], sql: asyncpg.Connection
) -> None:
    """The first statement is on its way alone; what comes meanwhile is one batch."""
    left, _ = instances
    first, *placed = await _placed(left, 21)
    changes = [_handled(order, RESERVED, uuid7()) for order in placed[:10]] + [
        Changes(reaction(order, RESERVED).order, 1, ()) for order in placed[10:]
    ]
    await sql.execute("begin; lock table orders in share mode")
    held_up = asyncio.create_task(left.commit(_handled(first, RESERVED, uuid7())))
    await _until_one_waits(sql)
    waiting = [asyncio.create_task(left.commit(change)) for change in changes]
    await asyncio.sleep(0)  # each gets as far as to wait for its answer
    await sql.execute("rollback")

    assert set(await asyncio.gather(held_up, *waiting)) == {Committed()}

    assert await sql.fetchval("select count(distinct xmin::text) from orders") == 2
    assert len(await _claims(sql)) == 11
    assert await sql.fetchval(
        "select count(*) from inbox i join orders o on o.xmin::text = i.xmin::text where o.id <> $1", first.id.value
    ) == 10 * 20, "the ten claims of the batch are of the transaction that stored its twenty orders"  # fmt: skip


async def _until_one_waits(sql: asyncpg.Connection) -> None:
    query = """
        select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'oms' and wait_event_type = 'Lock'
    """
    async with asyncio.timeout(20):
        while await sql.fetchval(query) == 0:
            await sql.execute("select pg_sleep(0.01), pg_stat_clear_snapshot()")


async def test_a_message_of_a_claim_that_is_taken_changes_nothing_whatever_the_order_says(
    instances: tuple[PostgresOrders, PostgresOrders],
) -> None:
    left, right = instances
    (order,) = await _placed(left, 1)
    event_id = uuid7()
    await left.commit(_handled(order, RESERVED, event_id))
    found = await right.find(order.id)
    assert found is not None

    assert await right.commit(_handled(found, PaymentCaptured(), event_id)) == Duplicate(order.id.value)
    assert await left.find(order.id) == found
