"""What PostgreSQL alone can be asked: one transaction for many, poisoned writes, and a server that goes away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TypeVar

import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from messaging.ports.changes import (
    Created,
    Creation,
    Duplicate,
    IdempotencyKey,
    StoreOverloaded,
    StoreUnavailable,
    Write,
)
from order_service.application.ports import OrderCreation
from order_service.domain.fulfilment import Reaction
from order_service.domain.order import InvalidOrder, Order
from order_service.domain.order_line import OrderLine
from order_service.domain.order_status import OrderStatus
from order_service.infrastructure.postgres_orders import PostgresOrders
from shared_kernel.product import ProductId, Quantity
from tests.domain.orders import placed_order, stepped, stored
from tests.order_store.conftest import becoming, messages_in, postgres_orders
from tests.real_parts.kafka import free_port
from tests.real_parts.query import rows, waiting_for_locks
from tests.real_parts.waiting import DEADLINE, until

Answer = TypeVar("Answer")


@pytest_asyncio.fixture
async def orders(database: str) -> AsyncIterator[PostgresOrders]:
    """A store with one connection, so that what waits together is committed together."""
    async with postgres_orders(database) as store:
        yield store


@pytest_asyncio.fixture
async def sql(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, in autocommit."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


def _creation() -> OrderCreation:
    order = placed_order()
    return Creation(order, order.events)


def _with_product(name: str) -> OrderCreation:
    """The creation of an order for a product whose name the value object would have refused."""
    product = ProductId("p1")
    object.__setattr__(product, "value", name)
    order = placed_order(OrderLine(product, Quantity(1)))
    return Creation(order, order.events)


def _refuse(_: Order | None) -> Reaction:
    raise InvalidOrder("refused")


async def _create_all(
    orders: PostgresOrders, creations: list[OrderCreation]
) -> list[Created | Duplicate | BaseException]:
    async with asyncio.timeout(DEADLINE):
        return await asyncio.gather(*(orders.create(each) for each in creations), return_exceptions=True)


async def test_writes_that_wait_together_are_stored_by_one_transaction(
    orders: PostgresOrders, sql: asyncpg.Connection
) -> None:
    await _create_all(orders, [_creation() for _ in range(200)])

    assert await sql.fetchval("select count(*) from orders") == 200
    assert await sql.fetchval("select count(distinct xmin::text) from orders") == 1
    assert await sql.fetchval(
        "select count(*) from outbox e join orders o on o.id::text = e.key where e.xmin::text = o.xmin::text"
    ) == 200, "an order and its event are stored by the same transaction"  # fmt: skip


@pytest.mark.parametrize("poison", ["a\x00", "\ud800"], ids=["NUL", "lone surrogate"])
async def test_a_write_that_cannot_be_stored_fails_alone_and_its_neighbours_are_committed(
    orders: PostgresOrders, sql: asyncpg.Connection, database: str, poison: str
) -> None:
    creations = [_creation() for _ in range(100)]
    creations[17], creations[70] = _with_product(poison), _with_product(poison)

    outcomes = await _create_all(orders, creations)

    failed = {number for number, outcome in enumerate(outcomes) if outcome != Created()}
    good = {str(creation.aggregate.id) for number, creation in enumerate(creations) if number not in (17, 70)}
    assert failed == {17, 70}
    assert all(isinstance(outcomes[number], Exception) for number in failed)
    assert {str(row["id"]) for row in await sql.fetch("select id from orders")} == good
    assert sorted(key for key, _ in await messages_in(database)) == sorted(good)


async def test_instances_that_meet_in_keys_do_not_deadlock(database: str, sql: asyncpg.Connection) -> None:
    """Each has stored half of its keys when they meet. A deadlock would be resolved and tried again, but is counted."""
    keys = [f"key-{number}" for number in range(9)]
    async with postgres_orders(database) as here, postgres_orders(database) as there:
        await here.create(_keyed(keys[4]))
        transaction = sql.transaction()
        await transaction.start()
        await sql.execute("delete from orders")
        both = asyncio.gather(
            _create_all(here, [_keyed(key) for key in keys]), _create_all(there, [_keyed(key) for key in keys[::-1]])
        )
        await until(lambda: waiting_for_locks(database, 2), "both instances wait for the key in the middle")
        await transaction.rollback()
        forth, back = await both

    # Their sessions have ended, and what they have counted is there.
    assert (
        await rows(database, "select from pg_stat_database where datname = current_database() and deadlocks > 0") == []
    )
    for key, one, other in zip(keys, forth, back[::-1], strict=True):
        assert [type(one), type(other)].count(Created) == (key != keys[4]), (key, one, other)


def _keyed(key: str) -> OrderCreation:
    order = placed_order()
    return Creation(order, order.events, IdempotencyKey("anybody", key, b"h" * 32))


async def test_a_change_that_the_domain_or_the_database_refuses_is_refused_alone_and_stores_no_event(
    orders: PostgresOrders, database: str
) -> None:
    placed = [placed_order() for _ in range(20)]
    await _create_all(orders, [Creation(order, order.events) for order in placed])
    cancelled = [stepped(stored(order), OrderStatus.CANCELLED) for order in placed]
    object.__setattr__(cancelled[5], "reason", None)
    object.__setattr__(cancelled[11], "reason", "not storable \x00")
    writes = [becoming(order) for order in cancelled]
    writes[17] = Write(placed[17].id.value, _refuse)

    async with asyncio.timeout(DEADLINE):
        outcomes = await asyncio.gather(*map(orders.write, writes), return_exceptions=True)

    refused = {place: type(outcome) for place, outcome in enumerate(outcomes) if isinstance(outcome, Exception)}
    assert refused == {5: asyncpg.CheckViolationError, 11: asyncpg.CharacterNotInRepertoireError, 17: InvalidOrder}
    messages = await messages_in(database)
    for place in refused:
        assert await orders.find(placed[place].id) == stored(placed[place])
        assert (str(placed[place].id), "OrderCancelledEvent") not in messages


async def test_without_a_server_every_method_says_that_the_store_is_unavailable() -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    order = placed_order()
    cancelled = stepped(stored(order), OrderStatus.CANCELLED)

    async with postgres_orders(nowhere) as orders:
        with pytest.raises(StoreUnavailable, match="the database does not answer"):
            await orders.create(Creation(order, order.events))
        with pytest.raises(StoreUnavailable):
            await orders.write(becoming(cancelled))
        with pytest.raises(StoreUnavailable):
            await orders.find(order.id)
        with pytest.raises(StoreUnavailable):
            await orders.newest(status=None, before=None, limit=1)
        with pytest.raises(StoreUnavailable):
            await orders.overdue(1)
        with pytest.raises(StoreUnavailable):
            await orders.unpublished_for()
        with pytest.raises(StoreUnavailable):
            await orders.count(OrderStatus.STUCK)


async def test_writes_whose_connection_is_ended_are_unanswered_and_the_next_ones_are_committed(
    orders: PostgresOrders, sql: asyncpg.Connection
) -> None:
    await orders.create(_creation())
    async with _writers_wait(sql):
        in_flight = [asyncio.create_task(orders.create(_creation())) for _ in range(5)]
        await _until_one_waits_for_a_lock(sql)
        assert await sql.fetchval(_END_THE_WRITERS) == 1
        unanswered = await asyncio.gather(*in_flight, return_exceptions=True)

    assert [type(outcome) for outcome in unanswered] == [StoreUnavailable] * 5
    assert await orders.create(_creation()) == Created()
    assert await sql.fetchval("select count(*) from orders") == 2


async def test_connections_that_were_ended_while_idle_are_opened_again(
    orders: PostgresOrders, sql: asyncpg.Connection
) -> None:
    order = placed_order()
    await orders.create(Creation(order, order.events))
    assert await orders.find(order.id) is not None
    ended = await sql.fetchval(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid()"
    )
    assert ended >= 2, "a connection that commits and one that reads"

    assert await _answer_of(lambda: orders.create(_creation())) == Created()
    assert await _answer_of(lambda: orders.find(order.id)) == stored(order)


async def test_more_writes_than_may_wait_are_refused_and_the_others_are_stored(
    database: str, sql: asyncpg.Connection
) -> None:
    async with postgres_orders(database, max_batch=10, max_waiting=10) as orders:
        async with _writers_wait(sql):
            first = asyncio.create_task(orders.create(_creation()))
            await _until_one_waits_for_a_lock(sql)
            rest = [asyncio.create_task(orders.create(_creation())) for _ in range(15)]
            await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)
            assert orders.is_full

        outcomes = await asyncio.gather(first, *rest, return_exceptions=True)

    assert [outcome == Created() for outcome in outcomes] == [True] * 11 + [False] * 5
    assert {type(outcome) for outcome in outcomes[11:]} == {StoreOverloaded}
    assert await sql.fetchval("select count(*) from orders") == 11


async def test_closing_answers_what_was_taken(database: str, sql: asyncpg.Connection) -> None:
    async with postgres_orders(database, connections=2, max_batch=10) as orders:
        taken = [asyncio.create_task(orders.create(_creation())) for _ in range(100)]
        await asyncio.sleep(0)  # each gets as far as to wait for its answer

    assert {task.result() for task in taken} == {Created()}
    assert await sql.fetchval("select count(*) from orders") == 100
    with pytest.raises(StoreOverloaded):
        await orders.create(_creation())


async def test_a_key_that_two_batches_race_for_waits_for_the_first_to_be_settled(
    database: str, sql: asyncpg.Connection
) -> None:
    """The first holder of the key never commits: the key is free again, and the second gets it."""
    order = placed_order()
    claim = IdempotencyKey("c", "k", b"r" * 32)
    async with postgres_orders(database) as orders:
        holder = sql.transaction()
        await holder.start()
        await sql.execute(_ORDER_WITH_KEY, placed_order().id.value)
        second = asyncio.create_task(orders.create(Creation(order, order.events, claim)))
        await _until_one_waits_for_a_lock(sql)
        await holder.rollback()

        assert await second == Created()


async def test_reads_that_wait_together_are_answered_by_one_query(
    orders: PostgresOrders, sql: asyncpg.Connection
) -> None:
    """While the first one is being answered, the others gather: a lock makes that while long."""
    placed = [placed_order() for _ in range(50)]
    await _create_all(orders, [Creation(order, order.events) for order in placed])
    batches = metric("oms_commit_batch_size_count", writes="finds")
    async with _readers_wait(sql):
        first = asyncio.create_task(orders.find(placed[0].id))
        await _until_one_waits_for_a_lock(sql)
        rest = [asyncio.create_task(orders.find(order.id)) for order in (*placed[1:], placed_order(), placed[1])]
        await asyncio.sleep(0)  # each gets as far as to wait for its answer

    found = await asyncio.gather(first, *rest)

    assert found[:50] == [stored(order) for order in placed]
    assert found[50:] == [None, stored(placed[1])], "one that is not there, and one that is asked for twice"
    assert metric("oms_commit_batch_size_count", writes="finds") - batches == 2


async def test_a_row_that_no_order_can_be_read_from_fails_for_who_asks_for_it_alone(
    orders: PostgresOrders, sql: asyncpg.Connection
) -> None:
    placed = [placed_order() for _ in range(10)]
    await _create_all(orders, [Creation(order, order.events) for order in placed])
    await sql.execute("""update orders set lines = '[{"q": 1}]' where id = $1""", placed[4].id.value)

    found = await asyncio.gather(*(orders.find(order.id) for order in placed), return_exceptions=True)

    assert [place for place, order in enumerate(found) if isinstance(order, Exception)] == [4]
    assert [order.id for order in found if isinstance(order, Order)] == [
        order.id for order in placed if order is not placed[4]
    ]


_ORDER_WITH_KEY = """
    insert into orders (id, status, stock_status, deadline, version, lines, created_at, updated_at, caller,
                        idempotency_key, request_hash)
    values ($1, 'PENDING', 'REQUESTED', now(), 1, '[{}]', now(), now(), 'c', 'k', sha256('r'))
"""
_END_THE_WRITERS = """
    select count(pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and application_name = 'oms' and wait_event_type = 'Lock'
"""
_WAITING = """
    select count(*) from pg_stat_activity
    where datname = current_database() and application_name = 'oms' and wait_event_type = 'Lock'
"""


@asynccontextmanager
async def _writers_wait(sql: asyncpg.Connection, mode: str = "share") -> AsyncIterator[None]:
    """While this lasts, whoever writes orders waits for a lock."""
    transaction = sql.transaction()
    await transaction.start()
    await sql.execute(f"lock table orders in {mode} mode")
    yield
    await transaction.rollback()


def _readers_wait(sql: asyncpg.Connection) -> AbstractAsyncContextManager[None]:
    """While this lasts, whoever reads orders waits, too."""
    return _writers_wait(sql, "access exclusive")


def metric(name: str, **labels: str) -> float:
    """What a metric of this process says."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def _until_one_waits_for_a_lock(sql: asyncpg.Connection) -> None:
    async with asyncio.timeout(DEADLINE):
        while await sql.fetchval(_WAITING) == 0:
            await sql.execute("select pg_sleep(0.01), pg_stat_clear_snapshot()")


async def _answer_of(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """What a client that asks again gets: a connection that died is noticed by the one who uses it."""
    async with asyncio.timeout(DEADLINE):
        while True:
            with suppress(StoreUnavailable):
                return await call()
