"""The synchronous standby is away, and a commit is on the primary alone: nobody is told of it before the standby has
it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from messaging.ports.changes import Created, Creation, Duplicate, IdempotencyKey, StoreUnavailable
from messaging.ports.message import Message
from messaging.postgres.failures import PostgresFailures
from messaging.postgres.outbox import PostgresOutbox
from messaging.postgres.pool import open_pool
from messaging.postgres.session import connect
from messaging.runtime.migrations import migrate
from order_service.application.ports import OrderCreation
from order_service.domain.fulfilment import StockRejected
from order_service.infrastructure.database import MIGRATIONS
from order_service.infrastructure.postgres_orders import PostgresOrders
from tests.domain.orders import placed_order
from tests.messaging.conftest import commit_messages
from tests.messaging.messages import messages_in
from tests.messaging.records import failure, record
from tests.order_store.conftest import handling, postgres_orders
from tests.real_parts.postgres_cluster import Node, postgres_cluster
from tests.real_parts.waiting import until

HASH = b"#" * 32
_WAITING = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
# A sequence writes to the log with the first of 32 numbers, and such a commit would wait for the standby by chance.
_LOG_NUMBERS = "begin; select nextval('parked_id_seq'), nextval('dead_letters_id_seq'); rollback"
_WANTING_A_SHARD = """
    select count(*) from pg_stat_activity where pid <> pg_backend_pid()
    and (query like '%pg_try_advisory_lock%' or query like '%pg_terminate_backend%')
"""  # in turn, until it has the shard
_CANCEL = "select count(pg_cancel_backend(pid)) from pg_stat_activity where wait_event = 'SyncRep'"


@pytest.fixture
def pair() -> Iterator[tuple[Node, Node]]:
    """A primary with a schema that answers a commit when the standby has it, too."""
    with postgres_cluster() as (primary, standby):
        asyncio.run(migrate(primary.dsn(), MIGRATIONS))
        primary.acknowledge_with_standby()
        yield primary, standby


async def _all_wait(primary: Node, tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Return when each of the tasks waits for the standby. None may be answered."""
    while await asyncio.to_thread(primary.execute, _WAITING) != str(len(tasks)):
        answered = [task.result() for task in tasks if task.done()]
        assert not answered, f"answered without the standby: {answered}"
        await asyncio.sleep(0.02)


def _tasks(*calls: Awaitable[object]) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(call) for call in calls]


def _creation() -> OrderCreation:
    order = placed_order()
    return Creation(order, order.events, IdempotencyKey("anybody", str(uuid4()), HASH))


async def test_what_a_restart_made_visible_is_told_to_nobody_before_the_standby_has_it(pair: tuple[Node, Node]) -> None:
    primary, standby = pair
    creation, event_id, lost = _creation(), uuid7(), failure(record("a key"))
    rejected = placed_order()
    (message,) = messages_in(0, 1)

    def writes(orders: PostgresOrders, failures: PostgresFailures) -> Sequence[Callable[[], Awaitable[object]]]:
        return (
            lambda: orders.create(creation),
            lambda: orders.write(handling(rejected.id, StockRejected("none left"), event_id)),
            lambda: failures.park([lost]),
            lambda: failures.bury(lost),
        )

    async with postgres_orders(primary.dsn()) as orders, open_pool(primary.dsn()) as pool:
        assert await orders.create(Creation(rejected, ())) == Created()
        await asyncio.to_thread(standby.pause)
        first = _tasks(*(write() for write in writes(orders, PostgresFailures(pool))))
        first += _tasks(commit_messages(primary.dsn(), [message]))
        await _all_wait(primary, first)
        await asyncio.to_thread(primary.kill)
        outcomes = await asyncio.gather(*first, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[:-1]] == [StoreUnavailable] * 4
    await asyncio.to_thread(primary.start)
    await asyncio.to_thread(primary.execute, _LOG_NUMBERS)

    outbox = PostgresOutbox(primary.dsn())
    async with (
        postgres_orders(primary.dsn()) as orders,
        open_pool(primary.dsn()) as pool,
        outbox.own(0) as shard,
    ):
        again = _tasks(*(write() for write in writes(orders, PostgresFailures(pool))), shard.oldest(100))
        await _all_wait(primary, again)
        await asyncio.to_thread(standby.resume)
        duplicate, handled, _, _, batch = await asyncio.gather(*again)

    assert duplicate == Duplicate(creation.aggregate.id.value, HASH)
    assert (handled.aggregate.status, handled.decision) == ("REJECTED", None)
    assert message in batch.messages


async def test_a_wait_for_the_standby_that_somebody_cancels_is_no_success(pair: tuple[Node, Node]) -> None:
    primary, standby = pair
    rejected = placed_order()
    outbox = PostgresOutbox(primary.dsn())
    async with (
        postgres_orders(primary.dsn()) as orders,
        open_pool(primary.dsn()) as pool,
        outbox.own(0) as shard,
    ):
        assert await orders.create(Creation(rejected, ())) == Created()
        await commit_messages(primary.dsn(), messages_in(0, 1))
        await asyncio.to_thread(standby.pause)
        tasks = _tasks(
            orders.create(_creation()),
            orders.write(handling(rejected.id, StockRejected("none left"))),
            PostgresFailures(pool).park([failure(record("a key"))]),
            shard.oldest(100),
        )
        await _all_wait(primary, tasks)
        await asyncio.to_thread(primary.execute, _CANCEL)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(standby.resume)

    assert [str(outcome) for outcome in outcomes] == ["the commit is on the primary, but a standby may lack it"] * 4
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}


async def test_what_is_given_up_while_the_standby_is_away_leaves_no_session_that_waits(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[Node, Node]
) -> None:
    """Otherwise every request would leave one behind, until the server has no connection left."""
    primary, standby = pair
    rejected = placed_order()
    async with postgres_orders(primary.dsn()) as orders, open_pool(primary.dsn()) as pool:
        assert await orders.create(Creation(rejected, ())) == Created()
        await asyncio.to_thread(standby.pause)
        monkeypatch.setattr(connect, "__kwdefaults__", {**(connect.__kwdefaults__ or {}), "command_timeout": 1.0})
        for _ in range(2):
            outcomes = await asyncio.gather(
                orders.create(_creation()),
                orders.write(handling(rejected.id, StockRejected("none left"))),
                PostgresFailures(pool).park([failure(record("a key"))]),
                return_exceptions=True,
            )
            assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
            await until(partial(_counts, primary, _WAITING, "0"), "the given-up waits are over")


async def test_a_relay_that_gives_up_while_the_standby_is_away_leaves_one_session_that_waits_for_each_shard(
    pair: tuple[Node, Node],
) -> None:
    """The session keeps the shard's lock, so the next ones do not come as far. They go on when the standby is back."""
    primary, standby = pair
    messages = messages_in(0, 1)
    outbox = PostgresOutbox(primary.dsn())
    await commit_messages(primary.dsn(), messages)
    await asyncio.to_thread(standby.pause)

    async def oldest() -> Sequence[Message]:
        async with outbox.own(0) as shard:
            return (await shard.oldest(100)).messages

    waiting = asyncio.create_task(oldest())
    await _all_wait(primary, [waiting])
    for _ in range(2):
        waiting.cancel()
        waiting = asyncio.create_task(oldest())
        await until(partial(_counts, primary, _WANTING_A_SHARD, "1"), "the relay wants the shard again")
    assert await _counts(primary, _WAITING, "1")
    await asyncio.to_thread(standby.resume)
    assert await waiting == messages


async def _counts(primary: Node, question: str, answer: str) -> bool:
    return await asyncio.to_thread(primary.execute, question) == answer
