"""Where a member begins to read a partition that it has no valid position in."""

from typing import Any

from aiokafka import TopicPartition


async def find_beginning(consumer: Any, partition: TopicPartition) -> int | None:
    """Begin with the oldest record, and return its offset."""
    (oldest,) = (await consumer.beginning_offsets([partition])).values()
    consumer.seek(partition, oldest)
    return int(oldest)
