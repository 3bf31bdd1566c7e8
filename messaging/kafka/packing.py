"""Packing messages into record batches, in order for each partition and within the batch size of each topic."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from messaging.kafka.admin import settings_of
from messaging.kafka.settings import Compression, KafkaSettings
from messaging.ports.message import Message

LARGEST_BATCH = 512 * 1024
_CODECS = {  # as Kafka's record format numbers them
    Compression.NONE: 0,
    Compression.GZIP: 1,
    Compression.SNAPPY: 2,
    Compression.LZ4: 3,
    Compression.ZSTD: 4,
}
_SIZE = "max.message.bytes"

log = structlog.get_logger("kafka")


@dataclass(frozen=True, slots=True)
class Target:
    """A topic with the facts that a producer needs."""

    name: str
    partitions: int
    largest_batch: int  # before it is compressed
    codec: int = _CODECS[Compression.NONE]


def partition_of(key: bytes, partitions: int) -> int:
    """The partition by CRC-32 of the key, like librdkafka's `consistent` partitioner. aiokafka's murmur2 in Python
    would take as long as all the rest of sending a record."""
    return crc32(key) % partitions


def pack(messages: Sequence[Message], targets: Mapping[str, Target]) -> list[tuple[TopicPartition, Any]]:
    """The record batches of the messages, by partition and in order. A batch has one future, where `send` would make
    one for each message. Raises KafkaError for a message that is too large for its topic."""
    packed: list[tuple[TopicPartition, Any]] = []
    open_batches: dict[TopicPartition, Any] = {}
    for message in messages:
        target = targets[message.topic]
        key = message.key.encode()
        partition = TopicPartition(target.name, partition_of(key, target.partitions))
        headers = [(name, value.encode()) for name, value in message.headers.items()]
        records = open_batches.get(partition)
        if records is None or records.append(timestamp=None, key=key, value=message.value, headers=headers) is None:
            records = open_batches[partition] = BatchBuilder(target.largest_batch, target.codec, is_transactional=1)
            packed.append((partition, records))
            records.append(timestamp=None, key=key, value=message.value, headers=headers)
            if records.size() > target.largest_batch:
                raise KafkaError(
                    f"message {message.event_id} makes a batch of {records.size()} bytes, and topic {target.name} "
                    f"takes {target.largest_batch}: its max.message.bytes must be raised"
                )
    for _, records in packed:
        records.close()
    return packed


async def find_targets(
    producer: Any, settings: KafkaSettings, topics: Collection[str], known: dict[str, int]
) -> dict[str, Target]:
    """The targets of a producer. Raises KafkaError.

    `known` has the number of partitions that each topic had when this process first saw it. Until the process ends,
    keys keep their partitions and so their order.
    """
    names = {topic: settings.prefix + topic for topic in topics}
    sizes = await settings_of(producer.client, list(names.values()), [_SIZE])
    targets: dict[str, Target] = {}
    for topic, name in names.items():
        if name not in sizes:
            raise KafkaError(f"topic {name} is not there: oms topics create")
        now = len(await producer.partitions_for(name))
        if (partitions := known.setdefault(topic, now)) != now:
            log.warning("a topic's partitions have changed", topic=name, before=partitions, now=now)
        largest = int((sizes[name] or {}).get(_SIZE, LARGEST_BATCH))
        targets[topic] = Target(name, partitions, min(LARGEST_BATCH, largest), _CODECS[settings.compression])
    return targets
