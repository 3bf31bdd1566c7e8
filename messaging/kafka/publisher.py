"""Kafka: the publisher that puts every message onto its topic exactly once.

Each shard publishes with its own transactional id, one transaction a batch: the messages, and one record on the
service's compacted topic of positions that names the outbox rows they came from. Starting a shard's producer fences
the previous one inside the broker, a paused zombie's too, and settles what it left open; only then is the position
read. So whoever takes a shard over knows which rows are out already, and a read_committed consumer never sees a message
twice or out of order. (The idea of storing the source's position in the sink's transaction is Kafka Connect's
exactly-once source, KIP-618.)
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from messaging.kafka.client import client_options
from messaging.kafka.epoch import Epoch
from messaging.kafka.packing import LARGEST_BATCH, Target, find_targets, pack
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import positions_of
from messaging.ports.event_publisher import EventPublisher
from messaging.ports.message import Message
from messaging.ports.outbox import Batch, Position
from messaging.ports.record import UNREADABLE

_REQUEST_TIMEOUT_MS = 10_000
_TRANSACTION_TIMEOUT_MS = 60_000
_PUBLISH_WITHIN = 15.0
_START_WITHIN = 15.0
_READ_POSITION_WITHIN = 15.0
_SETTLED_WITHIN = 5.0
_STOP_WITHIN = 1.0
_LOOK_BACK = 8

log = structlog.get_logger("kafka")


class KafkaPublisher:
    """Publishes one shard's batches. After any exception it must be closed and a new one opened."""

    def __init__(
        self,
        producer: Any,
        epoch: Epoch,
        settings: KafkaSettings,
        service: str,
        shard: int,
        partitions: dict[str, int],
    ) -> None:
        self._producer = producer
        self._epoch = epoch
        self._settings = settings
        self._partitions = partitions
        self._targets: dict[str, Target] = {}
        self._position_key = f"{service}/{shard}".encode()
        # Each shard keeps its positions on a partition of its own, so that nobody else's open transaction can hide its
        # last position from it.
        self._positions = TopicPartition(settings.prefix + positions_of(service).name, shard)

    async def publish(self, batch: Batch) -> None:
        """See EventPublisher. One transaction; raises KafkaError or TimeoutError, and then the outcome may be
        unknown."""
        producer = self._producer
        position = {"ids": list(batch.row_ids), "firstEventId": str(batch.position.first_event_id)}
        async with self._epoch.transaction(), _within(_PUBLISH_WITHIN, f"publishing {len(batch)} messages"):
            packed = pack(batch.messages, await self._targets_of(batch.messages))
            await producer.begin_transaction()
            acknowledged = [
                await producer.send_batch(records, topic, partition=partition) for (topic, partition), records in packed
            ]
            acknowledged.append(
                await producer.send(
                    self._positions.topic,
                    key=self._position_key,
                    value=json.dumps(position, separators=(",", ":")).encode(),
                    partition=self._positions.partition,
                )
            )
            await asyncio.gather(*acknowledged)
            await producer.commit_transaction()

    async def last_position(self) -> Position | None:
        """See EventPublisher. Reads the end of the shard's own partition, seeking back further until it finds a record:
        markers of transactions and aborted records take offsets too.

        Raises KafkaError when a transaction of an earlier publisher is still open there, although starting ours has
        ended it: then nobody can tell whether that batch is out."""
        partition = self._positions
        async with (
            _within(_READ_POSITION_WITHIN, "reading the last position"),
            _consumer(self._settings, "read_uncommitted") as anything,
            _consumer(self._settings, "read_committed") as committed,
        ):
            (begin,) = (await anything.beginning_offsets([partition])).values()
            (end,) = (await anything.end_offsets([partition])).values()
            await _settled(committed, partition, end)
            committed.assign([partition])
            back = _LOOK_BACK
            while True:
                start = max(begin, end - back)
                found = await self._latest_position(committed, partition, start, end)
                if found is not None or start == begin:
                    return found
                back *= 4

    async def _latest_position(self, consumer: Any, partition: TopicPartition, start: int, end: int) -> Position | None:
        found = None
        consumer.seek(partition, start)
        while start < end and await consumer.position(partition) < end:
            records = await consumer.getmany(partition, timeout_ms=200)
            for record in records.get(partition, ()):
                found = self._position_in(record) or found
        return found

    def _position_in(self, record: Any) -> Position | None:
        """None for what nobody of ours wrote. If it was ours and has decayed since, the position before it is the last
        that is known, and the inboxes of the consumers know what is then published once more."""
        unreadable = dict(record.headers).get(UNREADABLE)
        if record.key != self._position_key and unreadable is None:
            return None
        try:
            found = json.loads(record.value)
            return Position(tuple(found["ids"]), UUID(found["firstEventId"]))
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            log.warning(
                "a position cannot be read",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                error=unreadable.decode() if unreadable else f"{type(error).__name__}: {error}",
            )
            return None

    async def _targets_of(self, messages: Sequence[Message]) -> Mapping[str, Target]:
        """Asked for once, while this publisher lasts: whatever a topic takes less by then fails, and ends it."""
        if unknown := {message.topic for message in messages} - self._targets.keys():
            self._targets |= await find_targets(self._producer, self._settings, unknown, self._partitions)
        return self._targets


@asynccontextmanager
async def open_kafka_publisher(
    settings: KafkaSettings, service: str, shard: int, *, partitions: dict[str, int] | None = None
) -> AsyncIterator[EventPublisher]:
    """A publisher that has fenced every earlier one of the same service and shard. Those of a process share
    `partitions`: how many each topic had when one of them first saw it."""
    producer = AIOKafkaProducer(
        **client_options(settings),
        client_id=f"oms-relay-{service}-{shard}",
        transactional_id=f"{settings.prefix}oms-outbox-{service}-{shard}",
        transaction_timeout_ms=_TRANSACTION_TIMEOUT_MS,
        max_batch_size=LARGEST_BATCH,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
    )
    epoch = Epoch(producer.client, service, shard)
    try:
        async with _within(_START_WITHIN, "starting the producer"):
            await producer.start()
        yield KafkaPublisher(producer, epoch, settings, service, shard, {} if partitions is None else partitions)
    finally:
        await _stop(producer)


async def _stop(producer: Any) -> None:
    """`stop` waits for what is still to be delivered, which without a broker is for ever; what we give up here is
    fenced by the next producer of the shard."""
    stopping = asyncio.ensure_future(producer.stop())
    done, _ = await asyncio.wait({stopping}, timeout=_STOP_WITHIN)
    if done:
        with suppress(KafkaError):
            stopping.result()
        return
    sender = producer._sender.sender_task  # noqa: SLF001  aiokafka has no other way to give up
    if sender is not None:
        sender.cancel()
    await producer.client.close()
    stopping.cancel()


@asynccontextmanager
async def _consumer(settings: KafkaSettings, isolation_level: str) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        isolation_level=isolation_level,
        enable_auto_commit=False,
        group_id=None,
        auto_offset_reset="none",  # an offset that is gone must fail: skipping to the end would overlook the position
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def _settled(consumer: Any, partition: TopicPartition, end: int) -> None:
    """Wait until every transaction that began below `end` is over, as ours are as soon as the broker has written their
    markers. A read_committed reader sees nothing above an open one, and must not take that for nothing being there."""
    deadline = asyncio.get_running_loop().time() + _SETTLED_WITHIN
    while (stable := (await consumer.end_offsets([partition]))[partition]) < end:
        if asyncio.get_running_loop().time() > deadline:
            raise KafkaError(
                f"a transaction hangs on {partition.topic}-{partition.partition}: it is open since offset {stable} of "
                f"{end}, though the broker has ended it; this shard waits until kafka-transactions.sh has freed it"
            )
        await asyncio.sleep(0.02)


@asynccontextmanager
async def _within(seconds: float, what: str) -> AsyncIterator[None]:
    """asyncio.timeout, but the TimeoutError says what took too long."""
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield
    except TimeoutError:
        if timeout.expired():
            raise TimeoutError(f"{what} took longer than {seconds:.0f} s") from None
        raise
