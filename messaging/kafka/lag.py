"""The metric for the lag of consumers: how many records of each partition a group has still to handle.

It is asked of the brokers, and not of the consumer, so that it also grows while no consumer runs.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka import TopicPartition

from messaging.engine.background import running
from messaging.engine.metrics import LAG
from messaging.kafka.admin import open_admin
from messaging.kafka.offsets import EARLIEST, READ_UNCOMMITTED, offsets_of, partitions_client
from messaging.kafka.settings import KafkaSettings
from messaging.ports.subscription import group_of

_LOOK_EVERY = 5.0

log = structlog.get_logger("kafka")


@asynccontextmanager
async def lag_counted(settings: KafkaSettings, service: str, topics: Sequence[str]) -> AsyncIterator[None]:
    """Update `oms_consumer_lag_records` of a service's group on these topics during the block."""
    names = [settings.prefix + topic for topic in topics]
    async with running({f"the count of the {service} service's lag": _count(settings, service, names)}):
        yield


async def _count(settings: KafkaSettings, service: str, topics: Sequence[str]) -> None:
    lag: dict[TopicPartition, float] = {}
    while True:
        await asyncio.sleep(_LOOK_EVERY)  # at first, too: a process that has just started has more urgent work
        try:
            async with open_admin(settings) as admin, partitions_client(settings, topics) as client:
                while True:
                    known = await lag_of(admin, client, settings.prefix + group_of(service), topics)
                    lag |= dict.fromkeys(lag, math.nan) | known
                    _show(service, lag)
                    await asyncio.sleep(_LOOK_EVERY)
        except Exception as error:  # noqa: BLE001  any failure is logged and tried again
            log.info("cannot count the lag", service=service, error=f"{type(error).__name__}: {error}")
            lag = dict.fromkeys(lag, math.nan)
            _show(service, lag)


async def lag_of(admin: Any, client: Any, group: str, topics: Sequence[str]) -> dict[TopicPartition, float]:
    """The records between what the group has committed and the end, for each partition that can be asked. A group that
    has committed nothing begins with the oldest record. The committed offsets are asked for first, so that no lag is
    negative."""
    committed = {at: found.offset for at, found in (await admin.list_consumer_group_offsets(group)).items()}
    ends = await offsets_of(client, topics, READ_UNCOMMITTED)
    if ends.keys() - committed.keys():
        committed = await offsets_of(client, topics, READ_UNCOMMITTED, EARLIEST) | committed
    return {at: max(0, ends[at] - committed[at]) for at in ends.keys() & committed.keys()}


def _show(service: str, lag: Mapping[TopicPartition, float]) -> None:
    for at, records in lag.items():
        LAG.labels(service, at.topic, at.partition).set(records)
