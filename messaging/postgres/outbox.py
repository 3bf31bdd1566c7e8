"""The outbox in PostgreSQL: the messages of commits, and the ownership of its shards by relays.

A relay owns a shard while its connection holds that shard's advisory lock. It reads and deletes on the same connection.
So a relay that loses the lock also loses the connection to delete with, and no lease, epoch or clock of ours is needed.
PostgreSQL frees the shard of a hanging relay: `idle_session_timeout` ends a silent session. A session that is stuck
while it sends rows to a stopped process is ended by the relay that waits for its lock.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from pydantic_core import from_json, to_json

from messaging.engine.background import running
from messaging.ports.message import Message
from messaging.ports.outbox import SHARDS, Batch, OwnedShard, Position, shard_of
from messaging.postgres.counting import COUNTED_TO, counted
from messaging.postgres.doorbell import CHANNEL, Doorbell
from messaging.postgres.durability import AWAIT_STANDBYS, SYNCHRONOUS
from messaging.postgres.session import NotWritable, connect

_LOCK = 0x6F75_7462  # advisory lock space "outb": (space, shard) for ownership, (space, SHARDS) for being a relay
_RETRY = 0.5
_LONGEST_POLL = 1.0
_SHORTEST_POLL = 0.2

# The planner may take a full queue for an empty one, because it was empty a moment ago. A plan with a sort would then
# read all of it for every batch. The primary key (shard, id) is always the right index, so other plans are disabled.
_RELAY_SETTINGS = {"enable_bitmapscan": "off", "enable_sort": "off"}


def _insert_messages(stored: str = "") -> str:
    return f"""
    insert into outbox (shard, event_id, topic, key, headers, value)
    select m.shard, m.event_id, m.topic, m.key, m.headers::json, m.value
    from unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bytea[])
         with ordinality as m(shard, event_id, topic, key, headers, value, place)
    {stored}
    order by m.place
"""


INSERT_MESSAGES = _insert_messages()
"""A part of a commit. The arguments $1 to $6 are message_columns(…)."""

INSERT_MESSAGES_OF_STORED = _insert_messages("join stored on stored.id = m.key::uuid")
"""The same after `with stored as (… returning id)`. The key of every message must be the id of its aggregate.
Messages of aggregates that were not stored are left out."""


_OLDEST = f"""
    select id, event_id, topic, key, headers, value, {SYNCHRONOUS} as has_standbys
    from outbox where shard = $1 order by id limit $2
"""
_DELETE = "delete from outbox where shard = $1 and id = any($2::bigint[])"
_DELETE_PUBLISHED = """
    delete from outbox where shard = $1 and id = any($2::bigint[]) and event_id = any($3::uuid[])
"""
_RELAYS = """
    select count(*) from pg_locks where locktype = 'advisory' and granted and mode = 'ShareLock'
    and database = (select oid from pg_database where datname = current_database()) and classid = $1 and objid = $2
"""
_RELAYS_AND_SHARDS = """
    select count(*) filter (where mode = 'ShareLock' and objid = $2)::bigint,
           count(distinct objid) filter (where mode = 'ExclusiveLock' and objid < $2)::bigint
    from pg_locks where locktype = 'advisory' and granted and classid = $1
    and database = (select oid from pg_database where datname = current_database())
"""
_END_STUCK_OWNER = """
    select pg_terminate_backend(a.pid) from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted and l.classid = $1 and l.objid = $2
    and l.database = (select oid from pg_database where datname = current_database())
    and a.wait_event = 'ClientWrite' and a.query_start < clock_timestamp() - make_interval(secs => $3)
"""
# A long queue is not counted at every scrape of every process: its length is the one that PostgreSQL's statistics know.
_DEPTH = f"""
    select case when few < {COUNTED_TO} then few else greatest(few, pg_stat_get_live_tuples('outbox'::regclass)) end
    from (select {counted("from outbox")} as few) as depth
"""
# The oldest row of each shard is the first one of its index, so this is fast for any number of rows. `greatest` keeps
# the age from being negative after the clock was set back.
_AGE_OF_OLDEST = f"""
    select greatest(interval '0', max(clock_timestamp() - oldest.created_at))
    from generate_series(0, {SHARDS - 1}) as s(shard),
         lateral (select created_at from outbox where outbox.shard = s.shard order by id limit 1) as oldest
"""


def message_columns(messages: Sequence[Message]) -> tuple[list[Any], ...]:
    """The first six arguments of INSERT_MESSAGES, for messages in the order in which they shall be published."""
    return (
        [shard_of(message.key) for message in messages],
        [message.event_id for message in messages],
        [message.topic for message in messages],
        [message.key for message in messages],
        [to_json(message.headers).decode() for message in messages],
        [message.value for message in messages],
    )


async def depth_and_age(connection: Any) -> tuple[int, float]:
    """How many messages wait, and for how many seconds the oldest one has waited. Above 10,000 the former is
    PostgreSQL's estimate."""
    return int(await connection.fetchval(_DEPTH)), (await age_of_oldest(connection)).total_seconds()


async def age_of_oldest(connection: Any) -> timedelta:
    """How long the oldest unpublished message has waited. 0 when none waits."""
    age: timedelta = await connection.fetchval(_AGE_OF_OLDEST)
    return age


async def relays_and_shards(connection: Any) -> tuple[int, int]:
    """How many relays run, and how many shards they own together."""
    row = await connection.fetchrow(_RELAYS_AND_SHARDS, _LOCK, SHARDS)
    return int(row[0]), int(row[1])


class PostgresOutbox:
    """The outbox of one database, for a relay. A hanging relay loses its shards after `idle_timeout` seconds."""

    def __init__(self, dsn: str, *, idle_timeout: float = 10.0) -> None:
        self._dsn = dsn
        self._idle_timeout = idle_timeout
        self._woken = {shard: asyncio.Event() for shard in range(SHARDS)}
        self._doorbell = Doorbell(dsn, self._woken)
        self._membership: Any = None

    async def wanted_shards(self) -> int:
        """A fair share: all shards for a single relay, half of them for each of two. The call also counts this
        relay."""
        try:
            if self._membership is None:
                self._membership = await self._join()
            # A stopped relay with a full buffer of notifications is not idle, and must not be counted.
            await self._membership.fetch(_END_STUCK_OWNER, _LOCK, SHARDS, self._idle_timeout)
            relays: int = await self._membership.fetchval(_RELAYS, _LOCK, SHARDS)
        except BaseException:
            self._leave()
            raise
        return math.ceil(SHARDS / max(1, relays))

    def wake(self, shards: Iterable[int]) -> None:
        """See Wake."""
        self._doorbell.ring(shards)

    async def close(self) -> None:
        """Count this relay no longer, and send the last notification."""
        self._leave()
        await self._doorbell.close()

    @asynccontextmanager
    async def own(self, shard: int) -> AsyncIterator[OwnedShard]:
        """Wait for the shard's lock, and hold it on a separate connection."""
        connection = await self._connect()
        try:
            await _refuse_standby(connection)
            while not await connection.fetchval("select pg_try_advisory_lock($1, $2)", _LOCK, shard):
                await connection.fetch(_END_STUCK_OWNER, _LOCK, shard, self._idle_timeout)
                await asyncio.sleep(_RETRY)
            self._doorbell.here.add(shard)
            owned = _OwnedShard(connection, shard, self._woken[shard])
            async with running({f"the hold on shard {shard}": owned.keep_alive(self._idle_timeout / 4)}):
                yield owned
        finally:
            self._doorbell.here.discard(shard)
            connection.terminate()

    async def _join(self) -> Any:
        connection = await self._connect()
        try:
            await _refuse_standby(connection)
            await connection.execute(f"select pg_advisory_lock_shared({_LOCK}, {SHARDS})")
            await connection.add_listener(CHANNEL, self._wake)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _leave(self) -> None:
        membership, self._membership = self._membership, None
        if membership is not None:
            membership.terminate()

    async def _connect(self) -> Any:
        milliseconds = int(self._idle_timeout * 1000)
        return await connect(
            self._dsn,
            suffix="-relay",
            settings=_RELAY_SETTINGS
            | {"idle_session_timeout": str(milliseconds), "statement_timeout": str(int(milliseconds * 2.5))},
            within=self._idle_timeout,
            command_timeout=self._idle_timeout * 3,
        )

    def _wake(self, _connection: object, _pid: int, _channel: str, shards: str) -> None:
        for shard in shards.split(",") if shards else range(SHARDS):
            self._woken[int(shard)].set()


async def _refuse_standby(connection: Any) -> None:
    """A standby has advisory locks of its own: whoever held a shard's there would fence the publisher of its owner. A
    session that is not in recovery never is again, so looking once is enough."""
    if await connection.fetchval("select pg_is_in_recovery()"):
        raise NotWritable


class _OwnedShard:
    """A shard, while `connection` holds its lock. Statements and keep-alive pings take turns on the connection."""

    def __init__(self, connection: Any, shard: int, woken: asyncio.Event) -> None:
        self._connection = connection
        self._shard = shard
        self._woken = woken
        self._turn = asyncio.Lock()
        self._poll = _SHORTEST_POLL

    async def oldest(self, limit: int) -> Batch:
        """See OwnedShard. Each read begins with the lowest id.

        A row with a slow commit may appear below rows that were read already. A scan that continued behind them would
        miss it. The order within a key is kept, because a key's next row gets its id after the previous one is
        committed.

        The messages are on every synchronous standby, so a failover cannot take back what is published.
        """
        self._woken.clear()
        rows = await self._fetch(_OLDEST, self._shard, limit)
        if rows:
            self._poll = _SHORTEST_POLL
            if rows[0]["has_standbys"]:
                await self._fetch(AWAIT_STANDBYS)
        return Batch(
            [row["id"] for row in rows],
            [
                Message(row["event_id"], row["topic"], row["key"], from_json(row["headers"]), row["value"])
                for row in rows
            ],
        )

    async def delete(self, batch: Batch) -> None:
        """See OwnedShard."""
        await self._fetch(_DELETE, self._shard, batch.row_ids)

    async def delete_published(self, position: Position) -> int:
        """See OwnedShard. No two rows have the same event, so the ids need not be compared in pairs: the event says
        that the row is published, and the row id lets the primary key find it."""
        async with self._turn:
            status = await self._connection.execute(
                _DELETE_PUBLISHED, self._shard, position.row_ids, position.event_ids
            )
        return int(status.removeprefix("DELETE "))

    async def wait(self) -> None:
        """See OwnedShard. A notification ends the wait early. Polling with growing pauses finds rows without one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll):
                await self._woken.wait()
        self._poll = min(self._poll * 2, _LONGEST_POLL)

    async def keep_alive(self, every: float) -> None:
        """Send pings, so that the session does not count as hanging during a slow publish."""
        while True:
            await asyncio.sleep(every)
            await self._fetch("select")

    async def _fetch(self, statement: str, *arguments: object) -> list[Any]:
        async with self._turn:
            rows: list[Any] = await self._connection.fetch(statement, *arguments)
            return rows
