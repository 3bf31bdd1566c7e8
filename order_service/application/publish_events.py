"""Publish what was committed: the oldest messages of a shard leave through the EventPublisher port, then are forgotten.

These three lines are the heart of the relay (`messaging.relay`), which calls them for every shard it owns. The adapters
of the port are `messaging.logging_publisher`, `messaging.kafka` and `messaging.in_process`.
"""

from order_service.application.ports import EventPublisher, OwnedShard

BATCH = 1000


async def publish_events(shard: OwnedShard, publisher: EventPublisher) -> int:
    """Publish one batch and say how many messages it had.

    Deleting before the next batch is read means that only the last batch can ever be in doubt after a crash.
    """
    batch = await shard.oldest(BATCH)
    if batch:
        await publisher.publish(batch)
        await shard.delete(batch)
    return len(batch)
