"""The publisher that puts every message onto its Kafka topic exactly once.

Each shard has its own transactional id and publishes a batch in one transaction. The transaction has the messages, and
a record on the service's compacted topic of positions that names the batch's outbox rows and their events. The start of
a shard's producer fences the previous one in the broker, even a paused one, and ends its open transaction. Only then
the position is read. So the next owner of a shard knows which rows are published, and a read_committed consumer never
sees a message twice or out of order. (Kafka Connect's exactly-once source, KIP-618, also stores the position of the
source in the transaction of the sink.)
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced

from messaging.engine import tracing
from messaging.engine.message_spans import moved
from messaging.engine.metrics import FENCED
from messaging.kafka.client import client_options
from messaging.kafka.epoch import Epoch
from messaging.kafka.packing import LARGEST_BATCH, Target, find_targets, pack
from messaging.kafka.positions import decode_position, encode_position
from messaging.kafka.refused import as_not_allowed
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
        # Each shard has its own partition for positions, so an open transaction of another shard cannot hide its last
        # position.
        self._positions = TopicPartition(settings.prefix + positions_of(service).name, shard)

    async def publish(self, batch: Batch) -> None:
        """See EventPublisher. The batch is one transaction. After KafkaError or TimeoutError its outcome may be
        unknown."""
        began = time.time_ns()
        try:
            with as_not_allowed(self._settings, "of a message"):
                await self._publish_or_say_why_not(batch)
        except Exception as error:
            self._record(batch, began, type(error).__name__)
            raise
        self._record(batch, began)

    def _record(self, batch: Batch, began: int, error: str | None = None) -> None:
        if tracing.is_on():
            messages = batch.messages
            topics, headers = {each.topic for each in messages}, [each.headers for each in messages]
            moved("send", "send", topics, headers, began, {}, error)

    async def _publish_or_say_why_not(self, batch: Batch) -> None:
        try:
            await self._publish(batch)
        except IllegalOperation:
            # The client's sender works beside this method. When it meets an error first, the transaction is over, and
            # the error is where the end of the transaction is waited for.
            over = self._producer._txn_manager.wait_for_transaction_end()  # noqa: SLF001  aiokafka says it nowhere else
            if over.done():
                over.result()
            raise

    async def _publish(self, batch: Batch) -> None:
        producer = self._producer
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
                    value=encode_position(batch.position),
                    partition=self._positions.partition,
                )
            )
            await asyncio.gather(*acknowledged)
            await producer.commit_transaction()

    async def last_position(self) -> Position | None:
        """See EventPublisher. Reads the end of the shard's own partition, and seeks back further until it finds a
        record: markers of transactions and aborted records use offsets too.

        Raises KafkaError when a transaction of an earlier publisher is still open there, although the start of our
        producer has ended it. Then it is unknown whether that batch is published.
        """
        partition = self._positions
        with as_not_allowed(self._settings, partition.topic):
            return await self._read_position(partition)

    async def _read_position(self, partition: TopicPartition) -> Position | None:
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
        """The position in a record, or None for a foreign or corrupt record. If our last record is corrupt, the
        position before it is used. Then messages are published again, and the inboxes of consumers recognise them."""
        unreadable = dict(record.headers).get(UNREADABLE)
        if record.key != self._position_key and unreadable is None:
            return None
        try:
            return decode_position(record.value)
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
        """The targets, read once for each topic. If a topic's limit shrinks later, publishing fails and a new publisher
        is opened."""
        if unknown := {message.topic for message in messages} - self._targets.keys():
            self._targets |= await find_targets(self._producer, self._settings, unknown, self._partitions)
        return self._targets


def transactional_id(prefix: str, service: str, shard: int) -> str:
    """The id by which the broker knows the publishers of a shard."""
    return f"{prefix}oms-outbox-{service}-{shard}"


@asynccontextmanager
async def open_kafka_publisher(
    settings: KafkaSettings, service: str, shard: int, *, partitions: dict[str, int] | None = None
) -> AsyncIterator[EventPublisher]:
    """A publisher that has fenced every earlier one of the same service and shard. The publishers of a process share
    `partitions`: the number of partitions that each topic had when one of them first saw it."""
    producer = AIOKafkaProducer(
        **client_options(settings),
        client_id=f"oms-relay-{service}-{shard}",
        transactional_id=transactional_id(settings.prefix, service, shard),
        transaction_timeout_ms=_TRANSACTION_TIMEOUT_MS,
        max_batch_size=LARGEST_BATCH,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
    )
    epoch = Epoch(producer.client, service, shard)
    try:
        with as_not_allowed(settings, transactional_id(settings.prefix, service, shard)):
            async with _within(_START_WITHIN, "starting the producer"):
                await producer.start()
        yield KafkaPublisher(producer, epoch, settings, service, shard, {} if partitions is None else partitions)
    except ProducerFenced:
        FENCED.labels(service).inc()
        raise
    finally:
        await _stop(producer)


async def _stop(producer: Any) -> None:
    """Stop the producer, or abandon it after a second: without a broker its `stop` would wait for ever. The next
    producer of the shard fences an abandoned one."""
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
        auto_offset_reset="none",  # a missing offset must be an error: a skip to the end would miss the position
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
