"""Parked records and dead letters in PostgreSQL: the `Failures` of production, and the actions of operators."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from messaging.ports.audit import WHO
from messaging.ports.failures import Failure, Parked
from messaging.ports.record import Record
from messaging.postgres.counting import counted, first
from messaging.postgres.durability import AWAIT_STANDBYS
from messaging.postgres.pool import Pool
from messaging.postgres.storable import storable

_LONGEST_KEY = 200

_AT = 'topic, "partition", "offset", key, headers, value'

_PARKED_AMONG = "select distinct key from parked where key = any($1::text[])"
_PARK = f"""
    insert into parked ({_AT}, error, attempts, next_attempt_at)
    select p.topic, p."partition", p."offset", p.key, p.headers::json, p.value, p.error, p.attempts,
           now() + make_interval(secs => 1)
    from unnest($1::text[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::integer[])
         with ordinality as p(topic, "partition", "offset", key, headers, value, error, attempts, place)
    order by p.place on conflict do nothing
"""
_BURY = f"""
    with no_longer_parked as (delete from parked where id = $9)
    insert into dead_letters ({_AT}, error, attempts)
    values ($1, $2, $3, $4, $5::text::json, $6, $7, $8) on conflict do nothing
"""
_DUE = """
    select key from (select distinct on (key) key, next_attempt_at from parked order by key, id) as oldest
    where next_attempt_at <= now() order by next_attempt_at limit $1
"""
_OLDEST_OF = f"select id, attempts, {_AT} from parked where key = $1 order by id limit 1"
_POSTPONE = """
    update parked set attempts = attempts + 1, error = $2, next_attempt_at = now() + make_interval(secs => $3)
    where id = $1
"""
_FORGET = "delete from parked where id = $1"

_DEAD = f"select id, {_AT}, error, attempts, died_at as since, null::timestamptz as due from dead_letters"
_PARKED = f"select id, {_AT}, error, attempts, parked_at as since, next_attempt_at as due from parked"
# Our keys are the ids of orders. A faulty record may have any other.
_ORDER_ID = "case when key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then key::uuid end"
_REPLAY = f"""
    with revived as (
        delete from dead_letters where id = any($1::bigint[]) returning *
    ), audited as (
        insert into audit (who, action, outcome, order_id, detail)
        select $2, 'dead-letter.replay', 'done', {_ORDER_ID},
               json_build_object('deadLetter', id, 'topic', topic, 'partition', "partition", 'offset', "offset")
        from revived order by id
    )
    insert into parked ({_AT}, error, attempts) select {_AT}, 'replayed: ' || error, 0 from revived order by id
    on conflict do nothing
"""
_RETRY = f"""
    with retried as (
        update parked set next_attempt_at = now() where $1::text is null or key = $1 returning key
    ), audited as (
        insert into audit (who, action, outcome, order_id, detail)
        select $2, 'parked.retry', 'done', {_ORDER_ID}, json_build_object('key', key, 'messages', count(*))
        from retried group by key order by key
    )
    select count(distinct key)::integer as keys from retried
"""
# Ids grow with the time, so the oldest parked record is the first one of the primary key.
_COUNTS = f"""
    select {counted("from parked")},
           coalesce(extract(epoch from
               clock_timestamp() - (select min(parked_at) from {first("parked", "parked_at")})), 0)::float8,
           {counted("from dead_letters")}
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A parked record or a dead letter, for an operator to look at. `due` is when a parked record may be tried again,
    if it is the first of its key. A dead letter has none."""

    id: int
    record: Record
    error: str
    attempts: int
    since: datetime
    due: datetime | None


class PostgresFailures:
    """See `Failures`. `pool` is of the service's database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def parked_among(self, keys: Sequence[str]) -> set[str]:
        """See Failures."""
        kept_as = {key: _storable_key(key) for key in keys}
        parked = {row["key"] for row in await self._pool.fetch(_PARKED_AMONG, list(kept_as.values()))}
        return {key for key, kept in kept_as.items() if kept in parked}

    async def park(self, failures: Sequence[Failure]) -> None:
        """See Failures."""
        await self._pool.execute(_PARK, *(list(column) for column in zip(*map(_row, failures), strict=True)))
        await self._pool.execute(AWAIT_STANDBYS)  # those that were there already, too

    async def bury(self, failure: Failure, parked_id: int | None = None) -> None:
        """See Failures."""
        await self._pool.execute(_BURY, *_row(failure), parked_id)
        await self._pool.execute(AWAIT_STANDBYS)  # it may have been there already

    async def due(self, limit: int) -> Sequence[str]:
        """See Failures."""
        return [row["key"] for row in await self._pool.fetch(_DUE, limit)]

    async def oldest_of(self, key: str) -> Parked | None:
        """See Failures."""
        row = await self._pool.fetchrow(_OLDEST_OF, _storable_key(key))
        return Parked(row["id"], _record(row), row["attempts"]) if row else None

    async def postpone(self, parked_id: int, error: str, seconds: float) -> None:
        """See Failures."""
        await self._pool.execute(_POSTPONE, parked_id, storable(error), seconds)

    async def forget(self, parked_id: int) -> None:
        """See Failures."""
        await self._pool.execute(_FORGET, parked_id)

    async def dead_letters(self, key: str | None = None, limit: int = 100) -> Sequence[Kept]:
        """The oldest dead letters, of one key if that is given."""
        return await self._list(f"{_DEAD} where $1::text is null or key = $1 order by id limit $2", key, limit)

    async def dead_letter(self, letter_id: int) -> Kept | None:
        """One dead letter."""
        found = await self._list(f"{_DEAD} where id = $1", letter_id)
        return found[0] if found else None

    async def parked(self, key: str | None = None, limit: int = 100) -> Sequence[Kept]:
        """The oldest parked records, of one key if that is given."""
        if key is None:
            return await self._list(f"{_PARKED} order by id limit $1", limit)
        return await self._list(f"{_PARKED} where key = $1 order by id limit $2", key, limit)

    async def replay(self, letter_ids: Sequence[int]) -> None:
        """Make dead letters parked records that are due: the sweep hands them to their handler, event id and all, each
        behind what is parked of its key. The audit trail has each of them."""
        await self._pool.execute(_REPLAY, letter_ids, WHO.get())

    async def retry(self, key: str | None = None) -> int:
        """Let the sweep try a parked key, or all of them, now, and return how many keys that are. The audit trail has
        each key."""
        row = await self._pool.fetchrow(_RETRY, key, WHO.get())
        return int(row["keys"])

    async def counts(self) -> tuple[int, float, int]:
        """How many records are parked, the age of the oldest in seconds, and how many are dead. Both are counted up to
        10,000."""
        row = await self._pool.fetchrow(_COUNTS)
        return int(row[0]), float(row[1]), int(row[2])

    async def _list(self, query: str, *arguments: object) -> Sequence[Kept]:
        rows = await self._pool.fetch(query, *arguments)
        return [Kept(row["id"], _record(row), row["error"], row["attempts"], row["since"], row["due"]) for row in rows]


def _row(failure: Failure) -> tuple[Any, ...]:
    record = failure.record
    return (
        record.topic,
        record.partition,
        record.offset,
        _storable_key(record.key),
        json.dumps({storable(name): storable(value) for name, value in record.headers.items()}),
        record.value,
        storable(failure.error),
        failure.attempts,
    )


def _storable_key(key: str) -> str:
    """The key, shortened to the size that an index takes. Our own keys are UUIDs. Foreign keys that become equal wait
    for one another."""
    return storable(key)[:_LONGEST_KEY]


def _record(row: Any) -> Record:
    return Record(
        row["topic"], row["partition"], row["offset"], row["key"], json.loads(row["headers"]), bytes(row["value"])
    )
