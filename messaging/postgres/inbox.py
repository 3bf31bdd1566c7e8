"""The inbox: the events that a service has handled. A claim is part of the commit that it guards.

The inbox is partitioned by the day in an event's id. Whole days are dropped, so no rows are deleted one by one. The
inbox does not recognise an event of a dropped day. So it keeps days for longer than topics keep their records.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

KEEP_DAYS = 15
_AHEAD_DAYS = 2
_LOCK = 0x696E_626F

_DAYS = "select inhrelid::regclass::text as day from pg_inherits where inhparent = 'inbox'::regclass"

# Claims wait while partitions change. This waits for claims, but not for a long transaction of another client.
_ALONE = "set local lock_timeout = '2s'; lock table inbox in access exclusive mode"

# A day's partition can be created only while the default partition has none of its ids.
_EMPTY_DEFAULT = """
    create temporary table strays on commit drop as select event_id from inbox_default;
    truncate inbox_default
"""
_BACK_FROM_DEFAULT = "insert into inbox select event_id from strays where event_id >= $1"


def first_id_of(day: date) -> UUID:
    """The lowest UUIDv7 of a day. The first 48 bits are milliseconds since 1970."""
    milliseconds = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    return UUID(int=milliseconds << 80)


async def today_in(connection: Any) -> date:
    """The day by the clock of the database. With the clock of an instance that is weeks ahead, valid claims would be
    dropped."""
    today: date = await connection.fetchval("select (clock_timestamp() at time zone 'utc')::date")
    return today


async def keep_inbox(connection: Any, today: date) -> None:
    """Create a partition for each of the last `KEEP_DAYS` days, today and the next two days, and drop earlier ones.
    Claims of a new partition's day move there from the default partition. Instances take turns.

    Raises LockNotAvailableError when a long transaction holds the table. There is enough time to try again.
    """
    days = [today + timedelta(days=offset) for offset in range(-KEEP_DAYS, _AHEAD_DAYS + 1)]
    async with connection.transaction():
        await connection.execute(f"select pg_advisory_xact_lock({_LOCK})")
        there = {str(row["day"]) for row in await connection.fetch(_DAYS)} - {"inbox_default"}
        missing = [day for day in days if _name(day) not in there]
        past = sorted(name for name in there if name < _name(days[0]))
        if missing or past:
            await connection.execute(_ALONE)
            await connection.execute(_EMPTY_DEFAULT)
            for day in missing:
                await connection.execute(
                    f"create table {_name(day)} partition of inbox "
                    f"for values from ('{first_id_of(day)}') to ('{first_id_of(day + timedelta(days=1))}')"
                )
            for name in past:
                await connection.execute(f"drop table {name}")
            await connection.execute(_BACK_FROM_DEFAULT, first_id_of(days[0]))


def _name(day: date) -> str:
    return f"inbox_{day:%Y%m%d}"
