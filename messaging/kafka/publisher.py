"""The publisher that puts every message onto its Kafka topic exactly once.

A batch is published in one transaction. The transaction has the messages, and a record on the service's compacted topic
of positions that names the batch's outbox rows and their events. Each shard has its own transactional id, and its first
batch goes by that one. Later ones go with those of the process's other shards (joint.py). The start of a shard's
producer fences the previous one in the broker, even a paused one, and ends its open transaction; so do joint ones end
that the last position names. Only then the position counts. So the next owner of a shard knows which rows are
published, and a read_committed consumer never sees a message twice or out of order. (Kafka Connect's exactly-once
source, KIP-618, also stores the position of the source in the transaction of the sink.)
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from messaging.engine import tracing
from messaging.engine.message_spans import moved
from messaging.engine.metrics import FENCED
from messaging.kafka.client import client_options
from messaging.kafka.joint import JointPublishing, JointTransactions
from messaging.kafka.packing import Target, find_targets, pack
from messaging.kafka.positions import Joint, decode_position, encode_position, joint_of
from messaging.kafka.refused import as_not_allowed
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import positions_of
from messaging.kafka.transactions import Content, Transactions, open_transactions, within
from messaging.ports.event_publisher import EventPublisher, OpenPublisher
from messaging.ports.message import Message
from messaging.ports.outbox import Batch, Position
from messaging.ports.record import UNREADABLE

_READ_POSITION_WITHIN = 15.0
_SETTLED_WITHIN = 5.0
_LOOK_BACK = 8
_FETCH_WAITS_MS = 10

log = structlog.get_logger("kafka")


class KafkaPublisher:
    """Publishes one shard's batches. After any exception it must be closed and a new one opened."""

    def __init__(
        self,
        own: Transactions,
        joint: JointPublishing,
        settings: KafkaSettings,
        service: str,
        shard: int,
        partitions: dict[str, int],
    ) -> None:
        self._own = own
        self._joint = joint
        self._joined: JointTransactions | None = None
        self._settings = settings
        self._shard = shard
        self._partitions = partitions
        self._targets: dict[str, Target] = {}
        self._last: Position | None = None
        self._is_new = True
        self._position_key = f"{service}/{shard}".encode()
        # Each shard has its own partition for positions, so an open transaction of another shard cannot hide its last
        # position.
        self._positions = TopicPartition(settings.prefix + positions_of(service).name, shard)

    async def publish(self, batch: Batch) -> None:
        """See EventPublisher. The batch is one transaction. After KafkaError or TimeoutError its outcome may be
        unknown."""
        began = time.time_ns()
        try:
            with as_not_allowed(self._settings, "of a message"):
                await self._publish(batch)
        except Exception as error:
            self._record(batch, began, type(error).__name__)
            raise
        self._record(batch, began)

    def _record(self, batch: Batch, began: int, error: str | None = None) -> None:
        if tracing.is_on():
            messages = batch.messages
            topics, headers = {each.topic for each in messages}, [each.headers for each in messages]
            moved("send", "send", topics, headers, began, {}, error)

    async def _publish(self, batch: Batch) -> None:
        self._is_new = False
        packed = pack(batch.messages, await self._targets_of(batch.messages))
        if self._joined is not None:
            await self._joined.commit(self._content(packed, batch.position, self._joined.name))
        else:
            joined = await self._joint.join(self._shard)
            await self._own.commit([self._content(packed, batch.position, joined.name if joined else None)])
            self._joined = joined
        self._last = batch.position

    def _content(self, packed: Sequence[Any], position: Position, joint: Joint | None) -> Content:
        return Content(packed, self._positions, self._position_key, encode_position(position, joint))

    async def leave(self) -> None:
        """Say that the shard is in no joint transactions any more. If that fails, its next owner ends them for all."""
        if self._joined is None or self._last is None:
            return
        self._joined = None
        try:
            await self._own.commit([self._content([], self._last, None)])
        except (KafkaError, TimeoutError) as error:
            log.info("left without a word", shard=self._shard, error=f"{type(error).__name__}: {error}")

    async def last_position(self) -> Position | None:
        """See EventPublisher. It was read when this publisher was opened."""
        if not self._is_new:
            await self.read_last_position()
        self._is_new = False
        return self._last

    async def read_last_position(self) -> None:
        """Read it, and end the joint transactions that it names. Reads the end of the shard's own partition, and seeks
        back further until it finds a record: markers of transactions and aborted records use offsets too.

        Raises KafkaError when a transaction of an earlier publisher is still open there, although its producers are
        fenced. Then it is unknown whether that batch is published.
        """
        partition = self._positions
        with as_not_allowed(self._settings, partition.topic):
            self._last = await self._read_position(partition)

    async def _read_position(self, partition: TopicPartition) -> Position | None:
        async with (
            within(_READ_POSITION_WITHIN, "reading the last position"),
            _consumer(self._settings, "read_uncommitted") as anything,
            _consumer(self._settings, "read_committed") as committed,
        ):
            committed.assign([partition])
            ended: set[Joint] = set()
            while True:
                (end,) = (await anything.end_offsets([partition])).values()
                (stable,) = (await committed.end_offsets([partition])).values()
                # The joint transactions that hide what is behind `stable` are named before it.
                found = await self._last_record(anything, committed, partition, stable)
                joint = joint_of(found.value) if found else None
                if joint is not None and joint not in ended:
                    await self._joint.fence(joint, self._shard)
                    ended.add(joint)
                elif stable >= end:
                    return decode_position(found.value) if found else None
                else:
                    await _settled(committed, partition, end)

    async def _last_record(self, anything: Any, committed: Any, partition: TopicPartition, end: int) -> Any:
        (begin,) = (await anything.beginning_offsets([partition])).values()
        back = _LOOK_BACK
        while True:
            start = max(begin, end - back)
            found = await self._latest_position(committed, partition, start, end)
            if found is not None or start == begin:
                return found
            back *= 4

    async def _latest_position(self, consumer: Any, partition: TopicPartition, start: int, end: int) -> Any:
        found = None
        consumer.seek(partition, start)
        while start < end and await consumer.position(partition) < end:
            records = await consumer.getmany(partition, timeout_ms=200)
            for record in records.get(partition, ()):
                found = record if self._is_position(record) else found
        return found

    def _is_position(self, record: Any) -> bool:
        """False for a foreign or corrupt record. If our last record is corrupt, the position before it is used. Then
        messages are published again, and the inboxes of consumers recognise them."""
        unreadable = dict(record.headers).get(UNREADABLE)
        if record.key != self._position_key and unreadable is None:
            return False
        try:
            decode_position(record.value)
            joint_of(record.value)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            log.warning(
                "a position cannot be read",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                error=unreadable.decode() if unreadable else f"{type(error).__name__}: {error}",
            )
            return False
        return True

    async def _targets_of(self, messages: Sequence[Message]) -> Mapping[str, Target]:
        """The targets, read once for each topic. If a topic's limit shrinks later, publishing fails and a new publisher
        is opened."""
        if unknown := {message.topic for message in messages} - self._targets.keys():
            self._targets |= await find_targets(self._own.producer, self._settings, unknown, self._partitions)
        return self._targets


def transactional_id(prefix: str, service: str, shard: int) -> str:
    """The id by which the broker knows the publishers of a shard."""
    return f"{prefix}oms-outbox-{service}-{shard}"


def kafka_publishers(settings: KafkaSettings, service: str, partitions: dict[str, int] | None = None) -> OpenPublisher:
    """The publishers of a service's shards in this process, which publish together. `partitions` is the number of
    partitions that each topic had when one of them first saw it."""
    known = {} if partitions is None else partitions
    joint = JointPublishing(settings, service, allowed=settings.joint_transactions)
    return partial(open_kafka_publisher, settings, service, partitions=known, joint=joint)


@asynccontextmanager
async def open_kafka_publisher(
    settings: KafkaSettings,
    service: str,
    shard: int,
    *,
    partitions: dict[str, int] | None = None,
    joint: JointPublishing | None = None,
) -> AsyncIterator[EventPublisher]:
    """A publisher that has fenced every earlier one of the same service and shard. Without `joint` it publishes
    alone."""
    joint = joint or JointPublishing(settings, service, allowed=False)
    own = transactional_id(settings.prefix, service, shard)
    try:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(joint.publisher())
            with as_not_allowed(settings, own):
                transactions = await stack.enter_async_context(open_transactions(settings, own, service, shard))
            publisher = KafkaPublisher(
                transactions, joint, settings, service, shard, {} if partitions is None else partitions
            )
            await publisher.read_last_position()
            yield publisher
            await publisher.leave()
    except ProducerFenced:
        FENCED.labels(service).inc()
        raise


@asynccontextmanager
async def _consumer(settings: KafkaSettings, isolation_level: str) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        isolation_level=isolation_level,
        enable_auto_commit=False,
        group_id=None,
        auto_offset_reset="none",  # a missing offset must be an error: a skip to the end would miss the position
        # A broker answers the requests of a connection one after the other. A fetch at the end, where the next record
        # is only expected, would hold up those that follow.
        fetch_max_wait_ms=_FETCH_WAITS_MS,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def _settled(consumer: Any, partition: TopicPartition, end: int) -> None:
    """Wait until every transaction that began below `end` has ended. Ours end as soon as the broker has written their
    markers. A read_committed reader sees no records above an open transaction, and would miss a position there."""
    deadline = asyncio.get_running_loop().time() + _SETTLED_WITHIN
    while (stable := (await consumer.end_offsets([partition]))[partition]) < end:
        if asyncio.get_running_loop().time() > deadline:
            raise KafkaError(
                f"a transaction hangs on {partition.topic}-{partition.partition}: it is open since offset {stable} of "
                f"{end}, though the broker has ended it; this shard waits until kafka-transactions.sh has freed it"
            )
        await asyncio.sleep(0.02)
