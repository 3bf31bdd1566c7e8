"""The outbox as relays see it: rows by number, and shards that one session holds at a time.

A number is taken when a change begins, and its row appears when the change is committed. So a row may appear below rows
that were read already, as with a sequence.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.message import Message
from messaging.ports.outbox import SHARDS, Batch, OwnedShard, Position, shard_of
from simulation.event_loop import SimulatedLoop
from simulation.postgres.server import Server, Session

_RETRY: Final = 0.5
_SHORTEST_POLL: Final = 0.2
_LONGEST_POLL: Final = 1.0
_BLOCK: Final = 1000


class OutboxTable(MemoryOutbox):
    """The rows of all shards."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop
        self._blocks = 0
        self.rows: list[dict[int, Message]] = [{} for _ in range(SHARDS)]
        self.since: dict[int, float] = {}
        self._next = 0

    def take_numbers(self) -> int:
        """A block of numbers for a change that begins."""
        self._blocks += 1
        return self._blocks * _BLOCK

    def use_numbers(self, first: int) -> None:
        """The messages that are added next get numbers from here on."""
        self._next = first

    def add(self, messages: Sequence[Message]) -> None:
        """Add the messages of a commit."""
        for message in messages:
            self.rows[shard_of(message.key)][self._next] = message
            self.since[self._next] = self._loop.time()
            self._next += 1

    def depth_and_age(self) -> tuple[int, float]:
        """See MemoryOutbox."""
        oldest = min(self.since.values(), default=None)
        return len(self.since), self._loop.time() - oldest if oldest is not None else 0.0

    def oldest(self, shard: int, limit: int) -> Batch:
        """The rows with the lowest numbers."""
        rows = self.rows[shard]
        numbers = sorted(rows)[:limit]
        return Batch(numbers, [rows[number] for number in numbers])

    def delete(self, shard: int, numbers: Iterable[int]) -> int:
        """Delete rows, and return how many there were."""
        there = [number for number in numbers if self.rows[shard].pop(number, None) is not None]
        for number in there:
            del self.since[number]
        return len(there)

    def delete_published(self, shard: int, position: Position) -> int:
        """See OwnedShard."""
        out, rows = set(position.event_ids), self.rows[shard]
        return self.delete(shard, [row for row in position.row_ids if row in rows and rows[row].event_id in out])


class SimulatedOutbox:
    """The outbox for the relay of one process. See PostgresOutbox."""

    def __init__(self, server: Server, table: OutboxTable) -> None:
        self._server = server
        self._table = table
        self._woken = [asyncio.Event() for _ in range(SHARDS)]
        self._membership: Session | None = None

    def wake(self, shards: Iterable[int]) -> None:
        """Rows were added by this process."""
        for shard in shards:
            self._woken[shard].set()

    async def wanted_shards(self) -> int:
        """See PostgresOutbox."""
        try:
            if self._membership is None:
                self._membership = await self._server.open_session()
                self._server.try_lock(self._membership, ("relay", self._membership.number))

            async def count() -> int:
                return self._server.sessions_with("relay")

            relays = await self._membership.run("count the relays", count)
        except BaseException:
            self.leave()
            raise
        return math.ceil(SHARDS / max(1, relays))

    def leave(self) -> None:
        """Count this relay no longer."""
        if self._membership is not None:
            self._membership.is_closed = True
            self._membership = None

    @asynccontextmanager
    async def own(self, shard: int) -> AsyncIterator[OwnedShard]:
        """See Outbox."""
        async with self._server.session() as session:

            async def try_lock() -> bool:
                return self._server.try_lock(session, ("shard", shard))

            while not await session.run("lock a shard", try_lock):
                await asyncio.sleep(_RETRY)
            yield _OwnedShard(session, self._table, shard, self._woken[shard])


class _OwnedShard:
    """A shard, for as long as the session lives."""

    def __init__(self, session: Session, table: OutboxTable, shard: int, woken: asyncio.Event) -> None:
        self._session = session
        self._table = table
        self._shard = shard
        self._woken = woken
        self._poll = _SHORTEST_POLL

    async def oldest(self, limit: int) -> Batch:
        """See OwnedShard."""
        self._woken.clear()

        async def read() -> Batch:
            return self._table.oldest(self._shard, limit)

        batch = await self._session.run("read the outbox", read)
        if batch:
            self._poll = _SHORTEST_POLL
        return batch

    async def delete(self, batch: Batch) -> None:
        """See OwnedShard."""

        async def delete() -> int:
            return self._table.delete(self._shard, batch.row_ids)

        await self._session.run("delete from the outbox", delete, [("outbox", self._shard)])

    async def delete_published(self, position: Position) -> int:
        """See OwnedShard."""

        async def delete() -> int:
            return self._table.delete_published(self._shard, position)

        return await self._session.run("delete what is published", delete, [("outbox", self._shard)])

    async def wait(self) -> None:
        """See OwnedShard."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll):
                await self._woken.wait()
        self._poll = min(self._poll * 2, _LONGEST_POLL)
