"""The outbox, as its reader sees it: committed messages that wait to be published, a shard and a batch at a time.

Order needs one publisher a key. Messages are spread over `SHARDS` by their key, and each shard has one owner at a time;
see docs/architecture.md for how ownership is held and docs/adr/0002 for why nothing is published twice.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID
from zlib import crc32

from messaging.ports.message import Message

# Rows carry their shard, so the number is part of the schema: changing it reorders what is waiting.
SHARDS = 4


def shard_of(key: str) -> int:
    """The shard of a key. Kafka partitions are chosen by the same CRC-32, so a shard writes to few of them."""
    return crc32(key.encode()) % SHARDS


@dataclass(frozen=True, slots=True)
class Position:
    """The last batch that a shard is known to have published: its row ids, and the event id of its first row.

    The event id tells a row from another database's row of the same number.
    """

    row_ids: tuple[int, ...]
    first_event_id: UUID


@dataclass(frozen=True, slots=True)
class Batch:
    """The oldest messages of one shard in the order of their commits; `row_ids[i]` is where `messages[i]` is kept."""

    row_ids: Sequence[int]
    messages: Sequence[Message]

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def position(self) -> Position:
        """What to remember once this batch is published. The batch must not be empty."""
        return Position(tuple(self.row_ids), self.messages[0].event_id)


class OwnedShard(Protocol):
    """One shard of the outbox while we own it. Every method fails once ownership is lost."""

    async def oldest(self, limit: int) -> Batch:
        """The `limit` oldest messages, or fewer; empty when the shard is."""
        ...

    async def delete(self, batch: Batch) -> None:
        """Forget a batch that was published."""
        ...

    async def delete_published(self, position: Position) -> int:
        """Forget what a previous owner published but had no time to delete; says how many rows that was."""
        ...

    async def wait(self) -> None:
        """Return when there may be something to publish: on a notification, or after a while."""
        ...


class Outbox(Protocol):
    """Committed messages that wait to be published."""

    def own(self, shard: int) -> AbstractAsyncContextManager[OwnedShard]:
        """Wait until the shard is ours; it is given back on leaving."""
        ...

    async def wanted_shards(self) -> int:
        """How many shards one relay should hold, so that all running relays share them."""
        ...
