"""The EventPublisher port: how committed messages leave the service, and the one step that the relay repeats."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from messaging.ports.outbox import Batch, OwnedShard, Position

BATCH = 1000


class EventPublisher(Protocol):
    """The port through which committed messages leave the service."""

    async def publish(self, batch: Batch) -> None:
        """Return once every message is acknowledged, in order. After any exception nothing may be assumed."""
        ...

    async def last_position(self) -> Position | None:
        """The last batch that went out through any publisher of this shard, where the adapter can know it."""
        ...


OpenPublisher: TypeAlias = Callable[[int], AbstractAsyncContextManager[EventPublisher]]


async def publish_oldest(shard: OwnedShard, publisher: EventPublisher) -> int:
    """The heart of the relay: publish one batch, delete it, and say how many messages it had.

    Deleting before the next batch is read means that only the last batch can ever be in doubt after a crash.
    """
    batch = await shard.oldest(BATCH)
    if batch:
        await publisher.publish(batch)
        await shard.delete(batch)
    return len(batch)
