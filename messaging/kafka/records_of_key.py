"""The records of one key on the topics, for an operator to look at.

Kafka has no index by key. So the partition of the key is read, from the time on at which the key was first used.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from messaging.kafka.admin import describe, open_admin
from messaging.kafka.client import client_options, record_of
from messaging.kafka.packing import partition_of
from messaging.kafka.settings import KafkaSettings
from messaging.ports.record import Record

CLOCKS_DIFFER_BY = timedelta(minutes=2)
"""The broker dates the records by its own clock."""
_READ_FOR = 10.0
_POLL_MS = 200
_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Published:
    """A committed record, and the time at which the broker got it."""

    record: Record
    at: datetime


@dataclass(frozen=True, slots=True)
class RecordsOfKey:
    """The records that were found, in the order of each topic. `unread` names the topics that may have more of them,
    and says why."""

    found: Sequence[Published]
    unread: Mapping[str, str]


async def records_of_key(
    settings: KafkaSettings, topics: Sequence[str], key: str, since: datetime, until: datetime | None
) -> RecordsOfKey:
    """Search the committed records of these topics from `since` to `until`, for at most ten seconds. None searches to
    the end of the topics. Raises KafkaError, and OSError when the broker cannot be reached."""
    names = [settings.prefix + topic for topic in topics]
    async with open_admin(settings) as admin:
        described = await describe(admin, names)
    partitions = {
        TopicPartition(name, partition_of(key.encode(), topic.partitions)): name.removeprefix(settings.prefix)
        for name in names
        if (topic := described.get(name)) is not None
    }
    unread = dict.fromkeys(set(topics) - set(partitions.values()), "the topic is not there")
    if not partitions:
        return RecordsOfKey([], unread)
    async with _reader(settings) as consumer:
        search = _Search(consumer, key.encode(), settings.prefix, until + CLOCKS_DIFFER_BY if until else None)
        await search.begin(partitions, since - CLOCKS_DIFFER_BY)
        await search.run()
    unread |= {partitions[at]: f"it was read for {_READ_FOR:.0f} s, and not to its end" for at in search.left}
    return RecordsOfKey(search.found, unread)


class _Search:
    """Reads partitions until each has reached its end, or a record after the last one that is wanted."""

    def __init__(self, consumer: Any, key: bytes, prefix: str, until: datetime | None) -> None:
        self.found: list[Published] = []
        self.left: set[TopicPartition] = set()
        self._consumer = consumer
        self._key = key
        self._prefix = prefix
        self._until = until
        self._ends: dict[TopicPartition, int] = {}

    async def begin(self, partitions: Iterable[TopicPartition], since: datetime) -> None:
        """Go to the first record of this time."""
        consumer = self._consumer
        consumer.assign(list(partitions))
        milliseconds = int(since.timestamp() * 1000)
        first = await consumer.offsets_for_times(dict.fromkeys(partitions, milliseconds))
        self._ends = await consumer.end_offsets(list(partitions))
        for at, place in first.items():
            consumer.seek(at, place.offset if place else self._ends[at])
        self.left = {at for at, place in first.items() if place and place.offset < self._ends[at]}
        consumer.pause(*(set(first) - self.left))

    async def run(self) -> None:
        """Read, for at most ten seconds."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + _READ_FOR
        while self.left and loop.time() < give_up:
            polled = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_AT_ONCE)
            for at, records in polled.items():
                self._look_at(at, records)
            for at in list(self.left):
                if await self._consumer.position(at) >= self._ends[at]:
                    self._done(at)

    def _look_at(self, at: TopicPartition, records: Sequence[Any]) -> None:
        for record in records:
            if record.key == self._key:
                self.found.append(Published(record_of(record, self._prefix), _time(record.timestamp)))
        if self._until is not None and records and _time(records[-1].timestamp) > self._until:
            self._done(at)

    def _done(self, at: TopicPartition) -> None:
        self._consumer.pause(at)
        self.left.discard(at)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


@asynccontextmanager
async def _reader(settings: KafkaSettings) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        **client_options(settings), group_id=None, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()
