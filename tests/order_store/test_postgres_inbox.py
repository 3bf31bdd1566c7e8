"""Claims in PostgreSQL: two instances that race, batches that fail, and what is left in the inbox."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest_asyncio
from uuid_utils.compat import uuid7

from messaging.ports.changes import Creation, InboxClaim, Write, Written
from order_service.application.ports import OrderWrite
from order_service.domain.fulfilment import PaymentCaptured, Reaction
from order_service.domain.order import Order
from order_service.domain.order_status import OrderStatus
from order_service.infrastructure.postgres_orders import PostgresOrders
from tests.domain.orders import RESERVED, placed_order, stepped, stored
from tests.order_store.conftest import handling, messages_in, postgres_orders


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


async def _placed(orders: PostgresOrders, count: int) -> list[Order]:
    placed = [placed_order() for _ in range(count)]
    await asyncio.gather(*(orders.create(Creation(order, order.events)) for order in placed))
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
    writes = [handling(order.id, RESERVED, events[order.id]) for order in placed]

    async with asyncio.timeout(30):
        written = await asyncio.gather(
            *(left.write(write) for write in writes), *(right.write(write) for write in reversed(writes))
        )

    assert Counter(each.decision is not None for each in written) == {True: 100, False: 100}
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

    for order, ending, has_effect in ((kept, "commit", False), (given_back, "rollback", True)):
        await sql.execute("begin")
        await sql.execute("insert into inbox (event_id) values ($1)", events[order.id])
        waiting = asyncio.create_task(left.write(handling(order.id, RESERVED, events[order.id])))
        await _until_one_waits(sql)
        await sql.execute(ending)
        assert ((await waiting).decision is not None) is has_effect


async def test_a_change_that_cannot_be_stored_gives_its_claim_back_and_its_neighbours_keep_theirs(
    instances: tuple[PostgresOrders, PostgresOrders], database: str, sql: asyncpg.Connection
) -> None:
    left, _ = instances
    placed = await _placed(left, 20)
    events = {order.id: uuid7() for order in placed}
    rejected = [stepped(stored(order), OrderStatus.REJECTED) for order in placed]
    object.__setattr__(rejected[7], "reason", "not storable \x00")

    def becoming(order: Order) -> OrderWrite:
        return Write(order.id.value, lambda _: Reaction(order), InboxClaim(events[order.id]))

    outcomes = await asyncio.gather(*(left.write(becoming(order)) for order in rejected), return_exceptions=True)

    assert [place for place, outcome in enumerate(outcomes) if isinstance(outcome, Exception)] == [7]
    assert await _claims(sql) == set(events.values()) - {events[placed[7].id]}
    assert await left.find(placed[7].id) == stored(placed[7])
    assert (str(placed[7].id), "OrderRejectedEvent") not in await messages_in(database)


async def test_changes_with_and_without_a_claim_are_stored_by_one_transaction(
    instances: tuple[PostgresOrders, PostgresOrders], sql: asyncpg.Connection
) -> None:
    """The first statement is on its way alone; what comes meanwhile is one batch."""
    left, _ = instances
    first, *placed = await _placed(left, 21)
    writes = [handling(order.id, RESERVED, uuid7()) for order in placed[:10]]
    writes += [handling(order.id, RESERVED) for order in placed[10:]]
    await sql.execute("begin; lock table orders in share mode")
    held_up = asyncio.create_task(left.write(handling(first.id, RESERVED, uuid7())))
    await _until_one_waits(sql)
    waiting = [asyncio.create_task(left.write(write)) for write in writes]
    await asyncio.sleep(0)  # each gets as far as to wait for its answer
    await sql.execute("rollback")

    assert all(written.decision for written in await asyncio.gather(held_up, *waiting))

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
    await left.write(handling(order.id, RESERVED, event_id))
    found = await right.find(order.id)

    assert await right.write(handling(order.id, PaymentCaptured(), event_id)) == Written(found, None)
    assert await left.find(order.id) == found
