"""The outbox in memory: the contract of PostgreSQL, but nothing survives the process."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from messaging.ports.message import Message
from messaging.ports.outbox import SHARDS, Batch, OwnedShard, Position, shard_of


class MemoryOutbox:
    """Messages by row id, a shard at a time."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._rows: list[dict[int, Message]] = [{} for _ in range(SHARDS)]
        self._since: dict[int, float] = {}
        self._owners = [asyncio.Lock() for _ in range(SHARDS)]
        self._added = [asyncio.Event() for _ in range(SHARDS)]

    def add(self, messages: Sequence[Message]) -> None:
        """Add the messages of a commit."""
        for message in messages:
            row, shard = next(self._ids), shard_of(message.key)
            self._rows[shard][row] = message
            self._since[row] = time.monotonic()
            self._added[shard].set()

    def depth_and_age(self) -> tuple[int, float]:
        """How many messages wait, and for how many seconds the oldest one has waited."""
        oldest = min(self._since.values(), default=None)
        return len(self._since), time.monotonic() - oldest if oldest is not None else 0.0

    async def wanted_shards(self) -> int:
        """All shards, because no other process shares this memory."""
        return SHARDS

    @asynccontextmanager
    async def own(self, shard: int) -> AsyncIterator[OwnedShard]:
        """Wait until no other task owns the shard."""
        async with self._owners[shard]:
            yield _OwnedShard(self._rows[shard], self._since, self._added[shard])


class _OwnedShard:
    def __init__(self, rows: dict[int, Message], since: dict[int, float], added: asyncio.Event) -> None:
        self._rows = rows
        self._since = since
        self._added = added

    async def oldest(self, limit: int) -> Batch:
        """See OwnedShard."""
        self._added.clear()
        ids = list(itertools.islice(self._rows, limit))
        return Batch(ids, [self._rows[row] for row in ids])

    async def delete(self, batch: Batch) -> None:
        """See OwnedShard."""
        for row in batch.row_ids:
            del self._rows[row], self._since[row]

    async def delete_published(self, position: Position) -> int:
        """See OwnedShard."""
        out = set(position.event_ids)
        published = [row for row in position.row_ids if row in self._rows and self._rows[row].event_id in out]
        for row in published:
            del self._rows[row], self._since[row]
        return len(published)

    async def wait(self) -> None:
        """See OwnedShard."""
        await self._added.wait()
