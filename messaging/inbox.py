"""The inbox: which events a service has handled. A claim is part of the commit that it guards.

It is partitioned by the day that an event's id was made on, whole days are dropped, and nothing is ever deleted row by
row. An event that comes again after that time has only its aggregate's state to be known by, so days are kept for
longer than topics keep their records.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

KEEP_DAYS = 15
_AHEAD_DAYS = 3
_LOCK = 0x696E_626F

_DAYS = "select relname from pg_class where relkind = 'r' and relispartition and relname ~ '^inbox_[0-9]{8}$'"


def first_id_of(day: date) -> UUID:
    """The lowest UUIDv7 of a day: its first 48 bits are milliseconds since 1970."""
    milliseconds = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    return UUID(int=milliseconds << 80)


async def keep_inbox(connection: Any, today: date) -> None:
    """Make the partitions of today and the next days, and drop those of days long past. Instances take turns.

    A day whose partition cannot be made, because some of its ids lie in the default partition already, stays there.
    """
    async with connection.transaction():
        await connection.execute(f"select pg_advisory_xact_lock({_LOCK})")
        there = {str(row["relname"]) for row in await connection.fetch(_DAYS)}
        for day in (today + timedelta(days=ahead) for ahead in range(_AHEAD_DAYS)):
            if _name(day) not in there and not await _lies_in_default(connection, day):
                await connection.execute(
                    f"create table {_name(day)} partition of inbox "
                    f"for values from ('{first_id_of(day)}') to ('{first_id_of(day + timedelta(days=1))}')"
                )
        oldest_kept = _name(today - timedelta(days=KEEP_DAYS))
        for name in sorted(name for name in there if name < oldest_kept):
            await connection.execute(f"drop table {name}")


async def _lies_in_default(connection: Any, day: date) -> bool:
    bounds = first_id_of(day), first_id_of(day + timedelta(days=1))
    query = "select exists (select from inbox_default where event_id >= $1 and event_id < $2)"
    return bool(await connection.fetchval(query, *bounds))


def _name(day: date) -> str:
    return f"inbox_{day:%Y%m%d}"
