"""What a plain read_committed consumer finds on a topic: the witness of every test about publishing."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError


@dataclass(slots=True)
class TopicReader:
    """Reads `order-events` from where it stood when the test began."""

    consumer: Any
    bootstrap_servers: str
    records: list[Any] = field(default_factory=list)

    async def read_until(self, satisfied: Callable[[], bool], what: str, within: float = 60.0) -> None:
        """Poll until `satisfied`. Raises AssertionError with `what` was awaited, what had come, and how each partition
        stands."""
        try:
            async with asyncio.timeout(within):
                while not satisfied():
                    await self.poll()
        except TimeoutError:
            raise AssertionError(
                f"waited {within:.0f} s for {what}; read {len(self.records)} records, "
                f"of {len({record.key for record in self.records})} keys; {await self._standing()}"
            ) from None

    async def poll(self) -> None:
        """Take what has come."""
        for records in (await self.consumer.getmany(timeout_ms=200)).values():
            self.records.extend(records)

    async def read_orders(self, order_ids: Collection[str], within: float = 60.0) -> None:
        """Poll until there is a record of each of these orders, then read to the end of what is committed by now."""
        missing = set(order_ids)

        def all_there() -> bool:
            missing.difference_update(record.key.decode() for record in self.records)
            return not missing

        await self.read_until(all_there, f"events of {len(order_ids)} orders", within)
        await self.read_to_the_end()

    async def read_events(self, count: int, within: float = 60.0) -> None:
        """Poll until this many different events have come, then read to the end of what is committed by now."""
        await self.read_until(lambda: len(self.event_ids) >= count, f"{count} different events", within)
        await self.read_to_the_end()

    @property
    def event_ids(self) -> set[str]:
        """The ids of the events read so far."""
        return {value.decode() for record in self.records for name, value in record.headers if name == "ce_id"}

    async def read_to_the_end(self) -> None:
        """Read what is committed by now, so that a duplicate behind the last expected record is seen, too."""
        ends = await self.consumer.end_offsets(self.consumer.assignment())
        try:
            async with asyncio.timeout(60):
                for partition, end in ends.items():
                    while await self.consumer.position(partition) < end:
                        await self.poll()
        except TimeoutError:
            raise AssertionError(f"waited 60 s for the end of the topic; {await self._standing()}") from None

    async def _standing(self) -> str:
        """Where we are on each partition, and what the broker says is there. A last stable offset that stays below the
        high watermark is a transaction that nobody ends."""
        try:
            async with asyncio.timeout(10):
                stable = await self.consumer.end_offsets(self.consumer.assignment())
                async with _started(self.bootstrap_servers, "read_uncommitted") as reader:
                    watermarks = await reader.end_offsets(list(stable))
                lines = [
                    f"{partition.topic}-{partition.partition}: position {await self.consumer.position(partition)}, "
                    f"last stable offset {stable[partition]}, high watermark {watermarks[partition]}"
                    for partition in sorted(stable)
                ]
        except (TimeoutError, KafkaError) as error:
            return f"the broker does not say how the partitions stand: {type(error).__name__}: {error}"
        return "\n".join(["the partitions:", *lines])

    @property
    def values(self) -> list[dict[str, Any]]:
        """The records' JSON, in the order of reading."""
        return [json.loads(record.value) for record in self.records]

    def assert_each_once_in_order(self, order_ids: Iterable[str]) -> None:
        """Each order's events stand there exactly once, from version 1 on upwards."""
        versions: dict[str, list[int]] = defaultdict(list)
        for value in self.values:
            versions[value["orderId"]].append(value["orderVersion"])
        wanted = set(order_ids)
        lost = wanted - versions.keys()
        wrong = {
            key: got for key, got in versions.items() if key in wanted and (got[0] != 1 or got != sorted(set(got)))
        }
        assert not lost, f"{len(lost)} orders have no event, such as {sorted(lost)[:3]}"
        assert not wrong, f"{len(wrong)} orders have events twice or out of order, such as {list(wrong.items())[:3]}"


@asynccontextmanager
async def topic_reader(
    bootstrap_servers: str, topic: str = "order-events", *, from_beginning: bool = False
) -> AsyncIterator[TopicReader]:
    """A reader that begins at the topic's present end, or with its first record."""
    async with _started(bootstrap_servers, "read_committed") as consumer:
        await consumer._client.force_metadata_update()
        partitions = [TopicPartition(topic, number) for number in sorted(await _partitions(consumer, topic))]
        first = consumer.beginning_offsets if from_beginning else consumer.end_offsets
        offsets = await first(partitions)
        consumer.assign(partitions)
        for partition, offset in offsets.items():
            consumer.seek(partition, offset)
        yield TopicReader(consumer, bootstrap_servers)


@asynccontextmanager
async def _started(bootstrap_servers: str, isolation_level: str) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level=isolation_level,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def _partitions(consumer: Any, topic: str) -> set[int]:
    while not (partitions := consumer.partitions_for_topic(topic)):
        await consumer._client.add_topic(topic)
        await consumer._client.force_metadata_update()
    return set(partitions)
