"""Records from Kafka: polled in batches, handed to a subscriber, and only then their offsets are committed.

A crash between the two brings the batch again, and the inbox makes that harmless. A rebalance waits for the batch at
hand, so that its next owner begins behind it; one that cannot wait is harmless for the same reason.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from messaging.consuming import Record, Subscriber
from messaging.kafka import client_options
from messaging.kafka_settings import KafkaSettings
from messaging.running import running

BATCH = 500
_POLL_MS = 1000
_FINISH_BATCH_WITHIN = 20.0
_STOP_WITHIN = 5.0
_LONGEST_PAUSE = 5.0

log = structlog.get_logger("kafka-consumer")


@asynccontextmanager
async def deliver_from_kafka(
    settings: KafkaSettings, group: str, topics: Sequence[str], subscriber: Subscriber
) -> AsyncIterator[None]:
    """See messaging.consuming.Deliver. While the broker is away this tries again, for ever."""
    async with running(_keep_consuming(settings, group, topics, subscriber)):
        yield


async def _keep_consuming(settings: KafkaSettings, group: str, topics: Sequence[str], subscriber: Subscriber) -> None:
    pause = 0.1
    while True:
        try:
            async with _consumer(settings, group) as consumer:
                batch_at_hand = asyncio.Lock()
                consumer.subscribe(
                    [settings.prefix + topic for topic in topics], listener=_WaitForTheBatch(batch_at_hand)
                )
                while True:
                    polled = await consumer.getmany(timeout_ms=_POLL_MS, max_records=BATCH)
                    if polled:
                        async with batch_at_hand:
                            await subscriber([_record(record, settings.prefix) for record in _in_order(polled)])
                            await _commit(consumer, polled)
                        pause = 0.1
        except Exception as error:  # noqa: BLE001  whatever it is: said, and begun again from the committed offsets
            log.warning("consuming begins again", group=group, error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311  jitter, not a secret
            pause = min(pause * 2, _LONGEST_PAUSE)


def _in_order(polled: dict[Any, list[Any]]) -> Iterable[Any]:
    for records in polled.values():
        yield from records


async def _commit(consumer: Any, polled: dict[Any, list[Any]]) -> None:
    """A commit that comes too late, after a rebalance, is dropped: the next owner gets the batch again."""
    offsets = {partition: records[-1].offset + 1 for partition, records in polled.items()}
    mine = consumer.assignment()
    try:
        await consumer.commit({partition: offset for partition, offset in offsets.items() if partition in mine})
    except (CommitFailedError, IllegalStateError) as error:
        log.info("offsets not committed", error=f"{type(error).__name__}: {error}")


class _WaitForTheBatch(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Before partitions are taken away, let the batch at hand be handled and committed. The lock is never held around
    getmany, which would wait for the rebalance that waits for it."""

    def __init__(self, batch_at_hand: asyncio.Lock) -> None:
        self._batch_at_hand = batch_at_hand

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002
        try:
            async with asyncio.timeout(_FINISH_BATCH_WITHIN), self._batch_at_hand:
                pass
        except TimeoutError:
            log.warning("a rebalance does not wait any longer for the batch at hand")

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        log.info("partitions assigned", partitions=sorted(f"{at.topic}/{at.partition}" for at in assigned))


@asynccontextmanager
async def _consumer(settings: KafkaSettings, group: str) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        group_id=settings.prefix + group,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_interval_ms=300_000,
        session_timeout_ms=int(settings.session_timeout_seconds * 1000),
        heartbeat_interval_ms=int(settings.session_timeout_seconds * 1000) // 5,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        try:
            async with asyncio.timeout(_STOP_WITHIN):
                await consumer.stop()
        except (TimeoutError, KafkaError) as error:
            log.warning("the consumer did not stop in order", error=f"{type(error).__name__}: {error}")


def _record(record: Any, prefix: str) -> Record:
    """Bytes that are not UTF-8 are kept readable; what they should have been is for the handler to miss."""
    return Record(
        record.topic.removeprefix(prefix),
        record.partition,
        record.offset,
        (record.key or b"").decode(errors="backslashreplace"),
        {name: (value or b"").decode(errors="backslashreplace") for name, value in record.headers},
        record.value or b"",
    )
