"""The inbox: one claim an event, cut by day, dropped by day."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Self
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from uuid_utils.compat import uuid7

from messaging.postgres import inbox
from messaging.postgres.inbox import KEEP_DAYS
from messaging.runtime import storage
from messaging.runtime.settings import Role
from messaging.runtime.transport import LoggingTransport
from order_service.bootstrap import order_service
from order_service.settings import OrderSettings
from tests.messaging.consumers import DEADLINE, until

TODAY = date(2026, 11, 23)
_DAY_OF = "select tableoid::regclass::text from inbox where event_id = $1"
_DAYS = "select inhrelid::regclass::text from pg_inherits where inhparent = 'inbox'::regclass"


@pytest_asyncio.fixture
async def connection(database: str) -> AsyncIterator[Any]:
    """A connection to an empty inbox."""
    async with _connected(database) as opened:
        yield opened


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


def _id_at(at: datetime) -> UUID:
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62 | int.from_bytes(os.urandom(7)))


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def _days(*offsets: int) -> list[str]:
    return [f"inbox_{TODAY + timedelta(days=offset):%Y%m%d}" for offset in offsets]


async def _claim(connection: Any, *events: UUID) -> None:
    await connection.execute("insert into inbox select unnest($1::uuid[])", list(events))


async def _keep(connection: Any, today: date) -> None:
    """What `keep_inbox()` does, on another day."""
    await connection.execute("select keep_inbox_of($1)", today)


async def _partitions(connection: Any) -> Sequence[str]:
    return sorted(row[0] for row in await connection.fetch(_DAYS))


async def test_a_day_begins_with_the_lowest_id_that_can_be_made_on_it(connection: Any) -> None:
    now = datetime.now(UTC)
    today, midnight = now.date(), _noon(now.date()) - timedelta(hours=12)
    await connection.execute("set timezone = 'Pacific/Kiritimati'")
    query = "select first_id_of($1), first_id_of($1 + 1), first_id_of($1 + 2)"
    begin, tomorrow, later = await connection.fetchrow(query, today)

    assert begin <= uuid7() < later
    assert begin <= _id_at(midnight) < tomorrow
    assert _id_at(midnight - timedelta(milliseconds=1)) < begin


async def test_there_is_a_partition_for_each_day_that_is_kept_and_for_the_next_two(connection: Any) -> None:
    await _keep(connection, TODAY)

    assert await _partitions(connection) == [*_days(*range(-KEEP_DAYS, 3)), "inbox_default"]


@pytest.mark.parametrize("days_ago", [-2, 0, 1, KEEP_DAYS])
async def test_a_claim_lies_in_the_partition_of_the_day_of_its_id(connection: Any, days_ago: int) -> None:
    await _keep(connection, TODAY)
    event = _id_at(_noon(TODAY - timedelta(days=days_ago)))
    await _claim(connection, event)

    assert await connection.fetchval(_DAY_OF, event) == _days(-days_ago)[0]


async def test_an_event_is_claimed_once_before_and_after_its_day_has_a_partition(connection: Any) -> None:
    event = _id_at(_noon(TODAY))
    await _claim(connection, event)
    with pytest.raises(asyncpg.UniqueViolationError):
        await _claim(connection, event)

    await _keep(connection, TODAY)

    with pytest.raises(asyncpg.UniqueViolationError):
        await _claim(connection, event)
    await _claim(connection, _id_at(_noon(TODAY)))
    assert await connection.fetchval(_DAY_OF, event) == _days(0)[0]


async def test_what_was_claimed_before_its_day_had_a_partition_moves_there(connection: Any) -> None:
    events = {offset: _id_at(_noon(TODAY + timedelta(days=offset))) for offset in (-KEEP_DAYS - 1, -3, 0, 2, 30)}
    await _claim(connection, *events.values())

    await _keep(connection, TODAY)

    places = {offset: await connection.fetchval(_DAY_OF, event) for offset, event in events.items()}
    assert places == {
        -KEEP_DAYS - 1: None,  # of a day that is not kept any more
        -3: _days(-3)[0],
        0: _days(0)[0],
        2: _days(2)[0],
        30: "inbox_default",
    }


async def test_a_day_is_dropped_when_it_is_past_and_no_sooner(connection: Any) -> None:
    await _keep(connection, TODAY)
    dropped, kept = (_id_at(_noon(TODAY - timedelta(days=days))) for days in (KEEP_DAYS, KEEP_DAYS - 1))
    await _claim(connection, dropped, kept)

    await _keep(connection, TODAY + timedelta(days=1))

    assert await _partitions(connection) == [*_days(*range(-KEEP_DAYS + 1, 4)), "inbox_default"]
    assert await connection.fetchval(_DAY_OF, dropped) is None
    assert await connection.fetchval(_DAY_OF, kept) is not None


async def test_doing_it_again_changes_nothing_and_waits_for_no_claims(connection: Any, database: str) -> None:
    await _keep(connection, TODAY)
    before = await _partitions(connection)
    async with _connected(database) as another, another.transaction():
        await _claim(another, _id_at(_noon(TODAY)))
        await _keep(connection, TODAY)

    assert await _partitions(connection) == before


async def test_instances_take_turns(database: str) -> None:
    async with _connected(database) as left, _connected(database) as right:
        await asyncio.gather(*(_keep(each, TODAY) for each in (left, right)))
        await asyncio.gather(*(_keep(each, TODAY + timedelta(days=1)) for each in (left, right)))

        assert len(await _partitions(left)) == KEEP_DAYS + 4


async def test_claims_go_on_while_days_change(connection: Any, database: str) -> None:
    claimed: list[UUID] = []
    stop = asyncio.Event()

    async def claim() -> None:
        async with _connected(database) as another:
            while not stop.is_set():
                event = _id_at(_noon(TODAY + timedelta(days=len(claimed) % 4)))
                await _claim(another, event)
                claimed.append(event)

    claiming = asyncio.create_task(claim())
    for day in range(4):
        await until(lambda enough=20 * day: len(claimed) >= enough or claiming.done(), "more claims")  # type: ignore[misc]
        await _keep(connection, TODAY + timedelta(days=day))
    stop.set()
    await claiming

    assert await connection.fetchval("select count(*) from inbox where event_id = any($1::uuid[])", claimed) == len(
        claimed
    )
    assert await connection.fetchval("select count(*) from inbox_default") == 0


async def test_a_long_transaction_of_others_does_not_hold_claims_up_behind_us(connection: Any, database: str) -> None:
    async with _connected(database) as reader, reader.transaction():
        await reader.fetch("select * from inbox")

        with pytest.raises(asyncpg.LockNotAvailableError):
            async with asyncio.timeout(DEADLINE):
                await _keep(connection, TODAY)

        await _claim(connection, _id_at(_noon(TODAY)))
    await _keep(connection, TODAY)


async def test_the_days_are_those_of_the_database_and_not_of_an_instance_whose_clock_is_wrong(
    database: str, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is a month ahead would drop the claims of today, and what comes again would have its effect again."""

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(days=40)

    for module in (inbox, storage):
        monkeypatch.setattr(module, "datetime", Ahead, raising=False)
    event = uuid7()
    await _claim(connection, event)
    settings = OrderSettings(order_database_url=database)

    async with order_service(settings, LoggingTransport(), frozenset({Role.CONSUMER})), asyncio.timeout(DEADLINE):
        while len(await _partitions(connection)) == 1:
            await asyncio.sleep(0.01)

    today = await connection.fetchval("select 'inbox_' || to_char(now() at time zone 'utc', 'YYYYMMDD')")
    assert await connection.fetchval(_DAY_OF, event) == today
