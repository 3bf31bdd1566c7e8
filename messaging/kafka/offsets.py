"""Asking the leaders of partitions where they begin and end, for metrics."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.offset import OffsetRequest

from messaging.kafka.client import client_options
from messaging.kafka.settings import KafkaSettings

READ_UNCOMMITTED, READ_COMMITTED = 0, 1
LATEST, EARLIEST = -1, -2
_ANSWERED_WITHIN_MS = 5_000
_NOTICE_TOPICS_WITHIN_MS = 15_000
_CONSUMER = -1


async def offsets_of(
    client: Any, topics: Sequence[str], isolation_level: int, at: int = LATEST
) -> dict[TopicPartition, int]:
    """The end (or the beginning) of each partition for a reader of this level, where its leader answers. Each leader is
    asked once. When one does not know a partition, the metadata is updated."""
    by_leader: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for topic in topics:
        for partition in client.cluster.partitions_for_topic(topic) or ():
            leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
            by_leader[leader][topic].append((partition, at))
    offsets: dict[TopicPartition, int] = {}
    for leader, partitions in by_leader.items():
        try:
            answer = await client.send(leader, OffsetRequest(_CONSUMER, isolation_level, list(partitions.items())))
        except KafkaError:
            client.force_metadata_update()
            continue
        for topic, found in answer.topics:
            offsets |= {
                TopicPartition(topic, partition): offset for partition, error, _, offset, *_ in found if not error
            }
            if any(error for _, error, *_ in found):
                client.force_metadata_update()
    return offsets


@asynccontextmanager
async def partitions_client(settings: KafkaSettings, topics: Sequence[str]) -> AsyncIterator[Any]:
    """A client that knows the leaders of these topics' partitions."""
    client = AIOKafkaClient(
        **client_options(settings),
        request_timeout_ms=_ANSWERED_WITHIN_MS,
        metadata_max_age_ms=_NOTICE_TOPICS_WITHIN_MS,
    )
    try:
        await client.bootstrap()
        if not await client.set_topics(topics):
            raise KafkaError("no broker says which partitions there are")
        yield client
    finally:
        await client.close()
