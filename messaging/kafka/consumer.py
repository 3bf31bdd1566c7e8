"""Records from Kafka: polled in batches, handed to a subscriber, and only then their offsets are committed.

A crash between the two brings the batch again, and the inbox makes that harmless. A rebalance waits for the batch at
hand, so that its next owner begins behind it; one that cannot wait is harmless for the same reason.
"""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from messaging.engine.background import running
from messaging.kafka.client import client_options, record_of
from messaging.kafka.settings import KafkaSettings
from messaging.ports.subscription import CaughtUp, Subscriber

BATCH = 500
_POLL_MS = 1000
_FINISH_BATCH_WITHIN = 20.0
_REBALANCE_WITHIN = 30.0  # longer than that; aiokafka would take the session's timeout, and lose the batch at hand
_FINISH_LAST_BATCH_WITHIN = 3.0
_STOP_WITHIN = 5.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_NOTICE_TOPICS_WITHIN = 5.0
_CAUGHT_UP_FOR = 5.0
_LOOK_WITHIN = 2.0

Polled: TypeAlias = Mapping[TopicPartition, Sequence[Any]]

log = structlog.get_logger("kafka-consumer")


@asynccontextmanager
async def deliver_from_kafka(
    settings: KafkaSettings, group: str, topics: Sequence[str], subscriber: Subscriber
) -> AsyncIterator[CaughtUp]:
    """See `Deliver`. While the broker is away this tries again, for ever. Leaving lets the batch at hand be finished,
    for three seconds."""
    deliveries = _Deliveries(settings, group, topics, subscriber)
    async with running({f"the deliveries to {group}": deliveries.run()}):
        yield deliveries.caught_up
        await deliveries.finish()


class _Deliveries(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Before partitions are taken away, the batch at hand is handled and committed. Its lock is never held around
    getmany, which would wait for the rebalance that waits for it."""

    def __init__(self, settings: KafkaSettings, group: str, topics: Sequence[str], subscriber: Subscriber) -> None:
        self._settings = settings
        self._group = group
        self._topics = [settings.prefix + topic for topic in topics]
        self._subscriber = subscriber
        self._batch_at_hand = asyncio.Lock()
        self._pause = _FIRST_PAUSE
        self._assigned = False
        self._asked = False
        self._ends: dict[TopicPartition, int] | None = None
        self._caught_up_at = -math.inf

    async def run(self) -> None:
        """Deliver until cancelled. After any failure, begin again with a consumer that reads from the committed
        offsets; what the one before had fetched is not to be trusted."""
        while True:
            try:
                self._assigned, self._ends = False, None
                async with _consumer(self._settings, self._group) as consumer:
                    consumer.subscribe(self._topics, listener=self)
                    while True:
                        if polled := await _poll(consumer):
                            await self._deliver(consumer, polled)
                        _check_parts(consumer)
                        if self._asked and self._assigned:
                            await self._look_whether_caught_up(consumer)
            except Exception as error:  # noqa: BLE001  whatever it is: said, and begun again
                log.warning("consuming begins again", group=self._group, error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(random.uniform(0, self._pause))  # noqa: S311  jitter, not a secret
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def caught_up(self) -> bool:
        """See `CaughtUp`: the ends of our partitions are looked up when this is asked, and reaching them counts for
        five seconds."""
        if asyncio.get_running_loop().time() - self._caught_up_at < _CAUGHT_UP_FOR:
            return True
        self._asked = True
        return False

    async def _look_whether_caught_up(self, consumer: Any) -> None:
        """Between two batches: what is behind a position is handled. A position may lack for a moment, and is then
        waited for no longer than that."""
        mine = consumer.assignment()
        try:
            async with asyncio.timeout(_LOOK_WITHIN):
                if self._ends is None:
                    self._ends = await consumer.end_offsets(mine) if mine else {}
                waiting = [at for at, end in self._ends.items() if at in mine and await consumer.position(at) < end]
        except (TimeoutError, KafkaError):
            return
        if not waiting:
            self._asked, self._ends = False, None
            self._caught_up_at = asyncio.get_running_loop().time()

    async def finish(self) -> None:
        """Return when no batch is at hand; whoever cancels us then comes before the next one, for a lock is fair. Gives
        up after three seconds, which is safe, too."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FINISH_LAST_BATCH_WITHIN), self._batch_at_hand:
                pass

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002
        """Called by aiokafka, which keeps the membership alive meanwhile."""
        try:
            async with asyncio.timeout(_FINISH_BATCH_WITHIN), self._batch_at_hand:
                pass
        except TimeoutError:
            log.warning("a rebalance does not wait any longer for the batch at hand", group=self._group)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Called by aiokafka."""
        self._assigned, self._ends = True, None
        log.info("partitions assigned", partitions=sorted(f"{at.topic}/{at.partition}" for at in assigned))

    async def _deliver(self, consumer: Any, polled: Polled) -> None:
        prefix = self._settings.prefix
        async with self._batch_at_hand:
            await self._subscriber([record_of(record, prefix) for records in polled.values() for record in records])
            await _commit(consumer, polled)
        self._pause = _FIRST_PAUSE


async def _poll(consumer: Any) -> Polled:
    """The next records. A partition whose position the broker does not have begins with the oldest record that is kept.
    A new group's partitions have no position yet. A position that is gone is said: nobody here has seen what was
    deleted before it was read."""
    try:
        polled: Polled = await consumer.getmany(timeout_ms=_POLL_MS, max_records=BATCH)
    except NoOffsetForPartitionError as error:
        (partition,) = error.args
        await _begin_with_the_oldest(consumer, partition)
    except OffsetOutOfRangeError as error:
        ((partition, position),) = error.args[0].items()
        oldest = await _begin_with_the_oldest(consumer, partition)
        log.warning(
            "records were deleted before they were read",
            topic=partition.topic,
            partition=partition.partition,
            position=position,
            oldest=oldest,
        )
    else:
        return polled
    return {}


def _check_parts(consumer: Any) -> None:
    """Raise KafkaError when a task of the client's own has ended: it tells nobody, and nothing would come any more."""
    parts = {
        "fetcher": consumer._fetcher.error_future,  # noqa: SLF001  aiokafka has no other way to ask
        "coordinator": consumer._coordinator._coordination_task,  # noqa: SLF001
        "metadata": consumer._client._sync_task,  # noqa: SLF001
    }
    ended = [name for name, task in parts.items() if task is not None and task.done()]
    if ended:
        raise KafkaError(f"the client's {ended[0]} has ended")


async def _begin_with_the_oldest(consumer: Any, partition: TopicPartition) -> int:
    (oldest,) = (await consumer.beginning_offsets([partition])).values()
    consumer.seek(partition, oldest)
    return int(oldest)


async def _commit(consumer: Any, polled: Polled) -> None:
    """A commit that comes too late, after a rebalance, is dropped: the next owner gets the batch again."""
    mine = consumer.assignment()
    offsets = {partition: records[-1].offset + 1 for partition, records in polled.items() if partition in mine}
    if not offsets:
        return
    try:
        await consumer.commit(offsets)
    except CommitFailedError as error:
        log.info("offsets not committed", error=f"{type(error).__name__}: {error}")


@asynccontextmanager
async def _consumer(settings: KafkaSettings, group: str) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        group_id=settings.prefix + group,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",  # see _poll
        max_poll_interval_ms=300_000,
        session_timeout_ms=int(settings.session_timeout_seconds * 1000),
        heartbeat_interval_ms=int(settings.session_timeout_seconds * 1000) // 5,
        rebalance_timeout_ms=int(_REBALANCE_WITHIN * 1000),
        # A topic may be made after we subscribed to it.
        metadata_max_age_ms=int(_NOTICE_TOPICS_WITHIN * 1000),
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
