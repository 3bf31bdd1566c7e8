"""Where a member begins to read a partition that it has no valid position in."""

from typing import Any

from aiokafka import TopicPartition


async def find_beginning(consumer: Any, partition: TopicPartition) -> int | None:
    """Go on where the group has committed, or with the oldest record when it has not, and return that offset.

    The client reports a missing position late. Other members may have owned the partition and committed meanwhile.
    Returns None when the partitions were assigned anew during the questions. The new assignment has its own positions.
    """
    assigned = consumer._subscription.subscription.assignment  # noqa: SLF001  each assignment is an object of its own
    (oldest,) = (await consumer.beginning_offsets([partition])).values()
    (end,) = (await consumer.end_offsets([partition])).values()
    # Asked for last: from here on nobody else can commit unless the partitions are assigned anew.
    committed = await consumer.committed(partition)
    is_current = consumer._subscription.subscription.assignment is assigned  # noqa: SLF001
    if not is_current or partition not in consumer.assignment():
        return None
    begin = int(committed if committed is not None and oldest <= committed <= end else oldest)
    consumer.seek(partition, begin)
    return begin
