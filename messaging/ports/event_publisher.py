"""The EventPublisher port: committed messages leave the service through it. `publish_oldest` is the relay's step."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from messaging.ports.outbox import Batch, OwnedShard, Position

BATCH = 1000


class EventPublisher(Protocol):
    """The port through which committed messages leave the service."""

    async def publish(self, batch: Batch) -> None:
        """Return once every message is acknowledged, in order. After an exception it is unknown which are out."""
        ...

    async def last_position(self) -> Position | None:
        """The last batch that any publisher of this shard has published. None when the adapter cannot know it."""
        ...


OpenPublisher: TypeAlias = Callable[[int], AbstractAsyncContextManager[EventPublisher]]


async def publish_oldest(shard: OwnedShard, publisher: EventPublisher) -> int:
    """Publish one batch, delete it, and return how many messages it had.

    Each batch is deleted before the next one is read. So only the last batch can be in doubt after a crash.
    """
    batch = await shard.oldest(BATCH)
    if batch:
        await publisher.publish(batch)
        await shard.delete(batch)
    return len(batch)
