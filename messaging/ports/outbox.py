"""The outbox, as its reader sees it: committed messages that wait to be published, a shard and a batch at a time.

Messages of one key keep their order only with one publisher for each key. So messages are spread over `SHARDS` by
their key, and each shard has one owner at a time. docs/architecture.md says how a shard is owned, and docs/adr/0002
says why nothing is published twice.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID
from zlib import crc32

from messaging.ports.message import Message

# Rows store their shard, so the number is part of the schema: a change of it reorders the messages that wait.
SHARDS = 4


def shard_of(key: str) -> int:
    """The shard of a key. Kafka partitions are chosen by the same CRC-32, so a shard writes to few of them."""
    return crc32(key.encode()) % SHARDS


@dataclass(frozen=True, slots=True)
class Position:
    """The last batch that a shard is known to have published: `event_ids[i]` was in row `row_ids[i]`.

    The event id says that a row is published. The row id only says where it is: another database, or a promoted standby
    that lacks the last commits, gives the same ids to other messages.
    """

    row_ids: tuple[int, ...]
    event_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """The oldest messages of one shard in the order of their commits; `row_ids[i]` is where `messages[i]` is kept."""

    row_ids: Sequence[int]
    messages: Sequence[Message]

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def position(self) -> Position:
        """The position after this batch is published."""
        return Position(tuple(self.row_ids), tuple(message.event_id for message in self.messages))


class OwnedShard(Protocol):
    """A shard of the outbox, for as long as we own it. Every method fails once ownership is lost."""

    async def oldest(self, limit: int) -> Batch:
        """At most `limit` messages, the oldest ones. The batch is empty when the shard is empty."""
        ...

    async def delete(self, batch: Batch) -> None:
        """Delete a batch that was published."""
        ...

    async def delete_published(self, position: Position) -> int:
        """Delete the messages that a previous owner published but did not delete, and return how many they were. A row
        that has another event now stays."""
        ...

    async def wait(self) -> None:
        """Return when there may be messages to publish: on a notification, or after a while."""
        ...


class Outbox(Protocol):
    """Committed messages that wait to be published."""

    def own(self, shard: int) -> AbstractAsyncContextManager[OwnedShard]:
        """Wait until we own the shard. Leaving the block gives it back."""
        ...

    async def wanted_shards(self) -> int:
        """How many shards one relay should own, so that all running relays share them."""
        ...
