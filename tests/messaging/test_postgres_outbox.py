"""How PostgreSQL itself holds, frees and takes away a relay's shards."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from messaging.engine.background import WorkEnded
from messaging.ports.outbox import SHARDS, OwnedShard
from messaging.postgres.outbox import _DEPTH, PostgresOutbox, _OwnedShard, depth_and_age
from tests.messaging.conftest import commit_messages
from tests.messaging.messages import batch_of, key_in, message, messages_in
from tests.real_parts.waiting import DEADLINE

IDLE_TIMEOUT = 2.0
LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

_OWNERS = """
    from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted and l.mode = 'ExclusiveLock' and a.datname = current_database()
"""


@pytest_asyncio.fixture
async def sql(database: str) -> AsyncIterator[Any]:
    """A connection of the test's own."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def relays(database: str) -> AsyncIterator[tuple[PostgresOutbox, PostgresOutbox]]:
    """One outbox as two relays see it."""
    async with _two_relays(database, idle_timeout=30.0) as both:
        yield both


@pytest_asyncio.fixture
async def impatient_relays(database: str) -> AsyncIterator[tuple[PostgresOutbox, PostgresOutbox]]:
    """The same, with sessions that end when they say nothing for two seconds."""
    async with _two_relays(database, idle_timeout=IDLE_TIMEOUT) as both:
        yield both


@asynccontextmanager
async def _two_relays(dsn: str, *, idle_timeout: float) -> AsyncIterator[tuple[PostgresOutbox, PostgresOutbox]]:
    left, right = (PostgresOutbox(dsn, idle_timeout=idle_timeout) for _ in range(2))
    yield left, right
    await left.close()
    await right.close()


async def _until(sql: Any, condition: str, what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE):
            while not await sql.fetchval(f"select {condition}"):
                await sql.execute("select pg_sleep(0.02)")
    except TimeoutError:
        raise AssertionError(f"waited {DEADLINE:.0f} s for {what}") from None


async def test_a_shard_whose_hold_is_not_kept_alive_any_more_is_dropped_and_can_be_taken_again(
    relays: tuple[PostgresOutbox, PostgresOutbox],
) -> None:
    left, right = relays

    async def body() -> None:
        async with left.own(0):
            (hold,) = [task for task in asyncio.all_tasks() if task.get_name() == "the hold on shard 0"]
            hold.cancel()
            await asyncio.Event().wait()

    async with asyncio.timeout(DEADLINE):
        with pytest.raises(WorkEnded, match="the hold on shard 0 was cancelled"):
            await body()
        async with right.own(0):
            pass


async def test_a_notification_wakes_an_owner_that_would_not_have_polled_for_a_long_time(
    relays: tuple[PostgresOutbox, PostgresOutbox], database: str
) -> None:
    outbox, _ = relays
    await outbox.wanted_shards()
    async with outbox.own(0) as shard:
        assert isinstance(shard, _OwnedShard)
        shard._poll = 3600
        await shard.oldest(1)
        waiting = asyncio.create_task(shard.wait())
        await commit_messages(database, messages_in(0, 1))

        async with asyncio.timeout(DEADLINE):
            await waiting


async def _fails(shard: OwnedShard) -> None:
    batch = batch_of(messages_in(0, 1))
    with pytest.raises(LOST):
        await shard.oldest(1)
    with pytest.raises(LOST):
        await shard.delete(batch)
    with pytest.raises(LOST):
        await shard.delete_published(batch.position)


async def test_every_method_fails_once_ownership_is_lost_and_another_relay_gets_the_shard(
    relays: tuple[PostgresOutbox, PostgresOutbox], database: str, sql: Any
) -> None:
    left, right = relays
    await commit_messages(database, messages := messages_in(0, 3))
    with pytest.raises(LOST):  # noqa: PT012
        async with left.own(0) as lost:
            assert await sql.fetchval(f"select count(pg_terminate_backend(a.pid)) {_OWNERS}") == 1
            async with asyncio.timeout(DEADLINE), right.own(0) as shard:
                await _fails(lost)
                assert list((await shard.oldest(10)).messages) == messages
            await lost.oldest(1)


async def test_shards_are_shared_by_the_relays_that_are_there(relays: tuple[PostgresOutbox, PostgresOutbox]) -> None:
    left, right = relays
    assert await left.wanted_shards() == SHARDS
    assert await right.wanted_shards() == SHARDS // 2
    assert await left.wanted_shards() == SHARDS // 2

    await right.close()

    async with asyncio.timeout(DEADLINE):
        while await left.wanted_shards() != SHARDS:  # its session ends a moment after its connection
            await asyncio.sleep(0.02)


async def test_three_relays_want_no_fewer_shards_than_there_are(
    relays: tuple[PostgresOutbox, PostgresOutbox], database: str
) -> None:
    third = PostgresOutbox(database)
    for relay in (*relays, third):
        await relay.wanted_shards()

    assert 3 * await third.wanted_shards() >= SHARDS
    await third.close()


async def test_a_relay_of_another_database_does_not_count(
    relays: tuple[PostgresOutbox, PostgresOutbox], postgres: Any
) -> None:
    elsewhere = PostgresOutbox(postgres.dsn)
    await elsewhere.wanted_shards()
    async with asyncio.timeout(DEADLINE), elsewhere.own(0), relays[0].own(0):
        assert await relays[0].wanted_shards() == SHARDS
    await elsewhere.close()


async def test_a_relay_that_lost_its_membership_joins_again(
    relays: tuple[PostgresOutbox, PostgresOutbox], sql: Any
) -> None:
    left, right = relays
    await left.wanted_shards()
    await right.wanted_shards()
    await sql.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and application_name = 'oms-relay'"
    )

    for relay in (left, right):
        with pytest.raises(LOST):
            await relay.wanted_shards()

    assert [await left.wanted_shards(), await right.wanted_shards()] == [SHARDS, SHARDS // 2]


async def test_an_owner_that_hangs_is_freed_of_its_shard(
    impatient_relays: tuple[PostgresOutbox, PostgresOutbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = impatient_relays
    hangs = asyncio.Event()

    async def says_nothing(_shard: _OwnedShard, _every: float) -> None:
        await hangs.wait()

    monkeypatch.setattr(_OwnedShard, "keep_alive", says_nothing)
    async with left.own(0) as hung, asyncio.timeout(DEADLINE), right.own(0) as shard:
        await _fails(hung)
        assert len(await shard.oldest(1)) == 0


async def test_an_owner_that_is_busy_elsewhere_for_longer_than_the_idle_timeout_keeps_its_shard(
    impatient_relays: tuple[PostgresOutbox, PostgresOutbox], database: str, sql: Any
) -> None:
    left, right = impatient_relays
    async with left.own(0) as shard:
        owner = await sql.fetchval(f"select a.pid {_OWNERS}")
        contender = asyncio.create_task(_own_and_leave(right))
        await _until(
            sql,
            f"clock_timestamp() - backend_start > interval '{2 * IDLE_TIMEOUT} s' "
            f"from pg_stat_activity where pid = {owner}",
            "two idle timeouts to pass in the owner's session",
        )
        assert not contender.done()
        await commit_messages(database, messages_in(0, 1))
        assert len(await shard.oldest(1)) == 1
    async with asyncio.timeout(DEADLINE):
        await contender


async def _own_and_leave(outbox: PostgresOutbox) -> None:
    async with outbox.own(0):
        pass


async def test_an_owner_that_does_not_take_its_rows_is_ended_by_whoever_waits_for_its_shard(
    impatient_relays: tuple[PostgresOutbox, PostgresOutbox], database: str
) -> None:
    """As a stopped process does that had asked for more rows than fit into its socket: its session is not idle."""
    _, waiting = impatient_relays
    patient = PostgresOutbox(database, idle_timeout=3600)
    await commit_messages(database, [message(key_in(0), data="x" * 1_000_000) for _ in range(20)])
    async with patient.own(0) as stopped:
        assert isinstance(stopped, _OwnedShard)
        await stopped.oldest(1)  # from now on the statement is prepared, and its rows come at once
        stopped._connection._transport.pause_reading()
        reading = asyncio.create_task(stopped.oldest(20))

        async with asyncio.timeout(DEADLINE), waiting.own(0) as shard:
            assert len(await shard.oldest(1)) == 1

        stopped._connection._transport.resume_reading()
        with pytest.raises(LOST):
            await reading


async def test_however_long_the_outbox_is_its_depth_costs_no_more_than_counting_ten_thousand_rows(sql: Any) -> None:
    await sql.execute(
        """
        insert into outbox (shard, event_id, topic, key, headers, value)
        select n % 4, gen_random_uuid(), 't', 'k', '{}', '' from generate_series(1, 30000) as n
        """
    )
    await sql.execute("select pg_stat_force_next_flush()")  # later it would be added to what the vacuum counts
    await sql.execute("vacuum analyze outbox")
    await sql.execute("set enable_seqscan = off")

    depth, _ = await depth_and_age(sql)
    (plan,) = json.loads(await sql.fetchval(f"explain (analyze, format json) {_DEPTH}"))

    assert depth == pytest.approx(30_000, rel=0.01)
    assert max(_rows_read(plan["Plan"])) <= 10_000


def _rows_read(plan: Any) -> list[int]:
    """What each node of a plan has really read."""
    return [
        plan["Actual Rows"] * plan["Actual Loops"],
        *(n for part in plan.get("Plans", ()) for n in _rows_read(part)),
    ]


async def test_depth_and_age_say_how_much_waits_and_for_how_long(database: str, sql: Any) -> None:
    assert await depth_and_age(sql) == (0, 0.0)

    await commit_messages(database, messages_in(0, 7))
    depth, age = await depth_and_age(sql)
    await sql.execute("update outbox set created_at = created_at - interval '1 hour' where ctid = '(0,1)'")

    assert depth == 7
    assert 0 <= age < 3600
    assert 3600 <= (await depth_and_age(sql))[1] < 7200
