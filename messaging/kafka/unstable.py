"""The metric for hanging transactions: how many records of each partition are hidden from consumers.

A read_committed consumer sees no record above the last stable offset, where the oldest open transaction begins. A
relay's transaction lasts for milliseconds. So records below the high watermark of some seconds ago are stable now,
unless a transaction hangs.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka import TopicPartition

from messaging.engine.background import running
from messaging.engine.metrics import UNSTABLE
from messaging.kafka.offsets import READ_COMMITTED, READ_UNCOMMITTED, offsets_of, partitions_client
from messaging.kafka.settings import KafkaSettings

_STABLE_WITHIN = 5.0

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
        await asyncio.sleep(_STABLE_WITHIN)  # at first, too: a process that has just started has more urgent work
        try:
            async with partitions_client(settings, topics) as client:
                while True:
                    known = await unstable_records(client, topics, _STABLE_WITHIN)
                    _show(unstable, dict.fromkeys(unstable, math.nan) | known)
        except Exception as error:  # noqa: BLE001  any failure is logged and tried again
            log.info("cannot count unstable records", error=f"{type(error).__name__}: {error}")
            _show(unstable, dict.fromkeys(unstable, math.nan))


async def unstable_records(client: Any, topics: Sequence[str], within: float) -> dict[TopicPartition, int]:
    """The records of each partition that are hidden from consumers, and have been for so many seconds."""
    watermarks = await offsets_of(client, topics, READ_UNCOMMITTED)
    await asyncio.sleep(within)
    stable = await offsets_of(client, topics, READ_COMMITTED)
    return {at: max(0, watermarks[at] - stable[at]) for at in watermarks.keys() & stable.keys()}


def _show(before: dict[TopicPartition, float], now: Mapping[TopicPartition, float]) -> None:
    for at, records in now.items():
        UNSTABLE.labels(at.topic, at.partition).set(records)
        if records > 0 and not before.get(at, 0) > 0:
            log.warning("a transaction stays open", topic=at.topic, partition=at.partition, unstable_records=records)
    before.update(now)
