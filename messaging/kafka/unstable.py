"""The metric for hanging transactions: how many records of each partition are hidden from consumers.

A read_committed consumer sees no record above the last stable offset, where the oldest open transaction begins. A
relay's transaction lasts for milliseconds. So records below the high watermark of some seconds ago are stable now,
unless a transaction hangs.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.offset import OffsetRequest

from messaging.engine.background import running
from messaging.engine.metrics import UNSTABLE
from messaging.kafka.client import client_options
from messaging.kafka.settings import KafkaSettings

_STABLE_WITHIN = 5.0
_ANSWERED_WITHIN_MS = 5_000
_NOTICE_TOPICS_WITHIN_MS = 15_000
_READ_UNCOMMITTED, _READ_COMMITTED = 0, 1
_CONSUMER = -1
_LATEST = -1

log = structlog.get_logger("kafka")


@asynccontextmanager
async def unstable_records_counted(settings: KafkaSettings, topics: Sequence[str]) -> AsyncIterator[None]:
    """Update `oms_kafka_unstable_records` of these topics during the block."""
    names = [settings.prefix + topic for topic in topics]
    async with running({"the count of unstable records": _count(settings, names)}):
        yield


async def _count(settings: KafkaSettings, topics: Sequence[str]) -> None:
    unstable: dict[TopicPartition, float] = {}
    while True:
        try:
            async with _client(settings, topics) as client:
                while True:
                    watermarks = await _ends(client, topics, _READ_UNCOMMITTED)
                    await asyncio.sleep(_STABLE_WITHIN)
                    stable = await _ends(client, topics, _READ_COMMITTED)
                    known = {at: max(0, watermarks[at] - stable[at]) for at in watermarks.keys() & stable.keys()}
                    _show(unstable, dict.fromkeys(unstable, math.nan) | known)
        except Exception as error:  # noqa: BLE001  any failure is logged and tried again
            log.info("cannot count unstable records", error=f"{type(error).__name__}: {error}")
            _show(unstable, dict.fromkeys(unstable, math.nan))
            await asyncio.sleep(_STABLE_WITHIN)


def _show(before: dict[TopicPartition, float], now: Mapping[TopicPartition, float]) -> None:
    for at, records in now.items():
        UNSTABLE.labels(at.topic, at.partition).set(records)
        if records > 0 and not before.get(at, 0) > 0:
            log.warning("a transaction stays open", topic=at.topic, partition=at.partition, unstable_records=records)
    before.update(now)


async def _ends(client: Any, topics: Sequence[str], isolation_level: int) -> dict[TopicPartition, int]:
    """The end of each partition for a reader of this level, where its leader answers. Each leader is asked once. When
    one does not know a partition, the metadata is updated."""
    by_leader: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for topic in topics:
        for partition in client.cluster.partitions_for_topic(topic) or ():
            leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
            by_leader[leader][topic].append((partition, _LATEST))
    ends: dict[TopicPartition, int] = {}
    for leader, partitions in by_leader.items():
        try:
            answer = await client.send(leader, OffsetRequest(_CONSUMER, isolation_level, list(partitions.items())))
        except KafkaError:
            client.force_metadata_update()
            continue
        for topic, found in answer.topics:
            ends |= {TopicPartition(topic, partition): offset for partition, error, _, offset, *_ in found if not error}
            if any(error for _, error, *_ in found):
                client.force_metadata_update()
    return ends


@asynccontextmanager
async def _client(settings: KafkaSettings, topics: Sequence[str]) -> AsyncIterator[Any]:
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
