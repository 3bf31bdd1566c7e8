"""Records from Kafka. They are polled in batches and handed to a subscriber. Then their offsets are committed, soon.

After a crash between the two the records are delivered again, and the inbox makes that harmless. A rebalance waits for
the current batch and commits it, so that the next owner of the partitions begins behind it. A rebalance that cannot
wait is harmless too.
"""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from messaging.engine import conventions as names
from messaging.engine import tracing
from messaging.engine.background import running
from messaging.engine.message_spans import moved
from messaging.kafka.beginning import find_beginning
from messaging.kafka.client import client_options, record_of
from messaging.kafka.progress import Progress
from messaging.kafka.refused import as_not_allowed
from messaging.kafka.settings import KafkaSettings
from messaging.ports.subscription import CaughtUp, Subscriber

BATCH = 512  # two full commits, COMMIT_BATCH_MAX each: one is decided while PostgreSQL stores the other
_POLL_WITHIN = 1.0
_FINISH_BATCH_WITHIN = 20.0
_REBALANCE_WITHIN = 30.0  # longer than that; aiokafka's default, the session timeout, would lose the batch
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
    """See `Deliver`. While the broker is away, this tries again without end. On leaving, the current batch gets three
    seconds to finish."""
    deliveries = _Deliveries(settings, group, topics, subscriber)
    async with running({f"the deliveries to {group}": deliveries.run()}):
        yield deliveries.caught_up
        await deliveries.finish()


class _Deliveries(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """The deliveries to a group. Before partitions are revoked, the current batch is handled and all is committed.

    The lock of the batch is never held around getmany: getmany waits for a rebalance, and the rebalance waits for the
    lock.
    """

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
        self._progress: Progress | None = None

    async def run(self) -> None:
        """Deliver until cancelled. After any failure, begin again with a new consumer from the committed offsets.
        Records that the old consumer fetched are dropped."""
        while True:
            try:
                self._assigned, self._ends = False, None
                with as_not_allowed(self._settings, self._settings.prefix + self._group):
                    await self._deliver_until_it_fails()
            except Exception as error:  # noqa: BLE001  any failure is logged and tried again
                log.warning("consuming begins again", group=self._group, error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(random.uniform(0, self._pause))  # noqa: S311  jitter, not a secret
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    async def _deliver_until_it_fails(self) -> None:
        async with open_consumer(self._settings, self._group) as consumer:
            self._progress = progress = Progress(consumer, self._group)
            consumer.subscribe(self._topics, listener=self)
            while True:
                began = time.time_ns()
                if polled := await _poll(consumer, min(_POLL_WITHIN, progress.due_in)):
                    await self._deliver(polled, await _ends_of(consumer, polled), progress, began)
                if not progress.due_in:
                    async with self._batch_at_hand:
                        await progress.commit()
                _check_parts(consumer)
                self._check_topics(consumer)
                if self._asked and self._assigned:
                    await self._look_whether_caught_up(consumer)

    def _check_topics(self, consumer: Any) -> None:
        """Raise TopicAuthorizationFailedError for topics that this user may not see. The client would go on silently
        without their partitions."""
        unseen = consumer._client.cluster.unauthorized_topics & set(self._topics)  # noqa: SLF001
        if unseen:
            raise TopicAuthorizationFailedError(unseen)

    def caught_up(self) -> bool:
        """See `CaughtUp`. A call makes the consumer look up the ends of its partitions. Once they are reached, the
        answer is True for five seconds."""
        if asyncio.get_running_loop().time() - self._caught_up_at < _CAUGHT_UP_FOR:
            return True
        self._asked = True
        return False

    async def _look_whether_caught_up(self, consumer: Any) -> None:
        """Compare positions and ends. This runs between two batches, so every record before a position is handled. A
        position may be missing for a moment, and is waited for at most two seconds."""
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
        """Return when the current batch is finished and committed. A lock is fair, so a cancellation that follows comes
        before the next batch. Gives up after three seconds, which is safe."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FINISH_LAST_BATCH_WITHIN), self._batch_at_hand:
                await self._commit_rest()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002
        """Wait for the current batch, and commit. aiokafka calls this, and keeps the membership alive meanwhile."""
        try:
            async with asyncio.timeout(_FINISH_BATCH_WITHIN), self._batch_at_hand:
                await self._commit_rest()
        except TimeoutError:
            log.warning("a rebalance does not wait any longer for the batch at hand", group=self._group)

    async def _commit_rest(self) -> None:
        """Commit what is handled, before somebody else goes on. If that fails, the records come again."""
        if self._progress is not None:
            try:
                await self._progress.commit()
            except KafkaError as error:
                log.info("offsets not committed", group=self._group, error=f"{type(error).__name__}: {error}")

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note the new partitions. aiokafka calls this."""
        self._assigned, self._ends = True, None
        log.info("partitions assigned", partitions=sorted(f"{at.topic}/{at.partition}" for at in assigned))

    async def _deliver(
        self, polled: Polled, ends: Mapping[TopicPartition, int], progress: Progress, began: int
    ) -> None:
        prefix = self._settings.prefix
        delivered = [record_of(record, prefix) for records in polled.values() for record in records]
        if tracing.is_on():
            topics, headers = {each.topic for each in delivered}, [each.headers for each in delivered]
            moved("poll", "receive", topics, headers, began, {names.CONSUMER_GROUP: self._group})
        async with self._batch_at_hand:
            await self._subscriber(delivered)
            progress.handled(ends)
        self._pause = _FIRST_PAUSE


async def _poll(consumer: Any, within: float) -> Polled:
    """The next records, if some come in so many seconds. A partition without a valid position gets one.

    Partitions of a new group have no position yet. If a position is out of range, records were deleted before they were
    read, and the log says so.
    """
    try:
        polled: Polled = await consumer.getmany(timeout_ms=math.ceil(within * 1000), max_records=BATCH)
    except NoOffsetForPartitionError as error:
        (partition,) = error.args
        await find_beginning(consumer, partition)
    except OffsetOutOfRangeError as error:
        ((partition, position),) = error.args[0].items()
        began = await find_beginning(consumer, partition)
        if began is not None:
            log.warning(
                "records were deleted before they were read",
                topic=partition.topic,
                partition=partition.partition,
                position=position,
                oldest=began,
            )
    else:
        return polled
    return {}


def _check_parts(consumer: Any) -> None:
    """Raise KafkaError when a task inside the client has ended. The client would go on silently without records."""
    parts = {
        "fetcher": consumer._fetcher.error_future,  # noqa: SLF001  aiokafka has no other way to ask
        "coordinator": consumer._coordinator._coordination_task,  # noqa: SLF001
        "metadata": consumer._client._sync_task,  # noqa: SLF001
    }
    ended = [name for name, task in parts.items() if task is not None and task.done()]
    if ended:
        raise KafkaError(f"the client's {ended[0]} has ended")


async def _ends_of(consumer: Any, polled: Polled) -> dict[TopicPartition, int]:
    """Where the next records begin: behind the polled ones, and behind the marker of their transaction."""
    mine = consumer.assignment()
    return {partition: await consumer.position(partition) for partition in polled if partition in mine}


@asynccontextmanager
async def open_consumer(settings: KafkaSettings, group: str) -> AsyncIterator[Any]:
    """A member of the group, which has subscribed to nothing yet."""
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        group_id=settings.prefix + group,
        group_instance_id=settings.group_instance_id,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",  # see _poll
        max_poll_interval_ms=300_000,
        session_timeout_ms=int(settings.session_timeout_seconds * 1000),
        heartbeat_interval_ms=int(settings.session_timeout_seconds * 1000) // 5,
        rebalance_timeout_ms=int(_REBALANCE_WITHIN * 1000),
        # A topic may be created after we subscribed to it.
        metadata_max_age_ms=int(_NOTICE_TOPICS_WITHIN * 1000),
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await _stop(consumer)


async def _stop(consumer: Any) -> None:
    """Stop it, or abandon it after five seconds. Its group learns of that by the session timeout."""
    try:
        async with asyncio.timeout(_STOP_WITHIN):
            await consumer.stop()
    except (TimeoutError, KafkaError) as error:
        log.warning("the consumer did not stop in order", error=f"{type(error).__name__}: {error}")
        # Its `stop` ends with the first part that does not close, and does nothing when it is called again.
        for task in _tasks_of(consumer):
            task.cancel()
        await consumer._client.close()  # noqa: SLF001  aiokafka has no other way to give up


def _tasks_of(consumer: Any) -> Iterable[asyncio.Task[object]]:
    coordinator, fetcher = consumer._coordinator, consumer._fetcher  # noqa: SLF001
    if coordinator is None or fetcher is None:  # it has never started
        return []
    theirs = (coordinator._coordination_task, coordinator._heartbeat_task, coordinator._commit_refresh_task)  # noqa: SLF001
    return [task for task in (*theirs, fetcher._fetch_task, *fetcher._pending_tasks) if task is not None]  # noqa: SLF001
