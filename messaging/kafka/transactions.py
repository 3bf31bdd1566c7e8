"""Transactions of a transactional id, one after the other. Their producer fences every earlier one of that id."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError

from messaging.kafka.client import client_options
from messaging.kafka.epoch import Epoch
from messaging.kafka.packing import LARGEST_BATCH
from messaging.kafka.settings import KafkaSettings

TRANSACTION_TIMEOUT_MS = 60_000
_REQUEST_TIMEOUT_MS = 10_000
_PUBLISH_WITHIN = 15.0
_START_WITHIN = 15.0
_STOP_WITHIN = 1.0


@dataclass(frozen=True, slots=True)
class Content:
    """A shard's part of a transaction: record batches by partition, and its position as a record."""

    batches: Sequence[tuple[TopicPartition, Any]]
    positions: TopicPartition
    key: bytes
    value: bytes


class Transactions:
    """The transactions of one producer. After one has failed there is no other."""

    def __init__(self, producer: Any, epoch: Epoch) -> None:
        self.producer = producer
        self._epoch = epoch

    @property
    def epoch(self) -> tuple[int, int]:
        """The producer's id and epoch, by which the broker tells it from those before and after it."""
        manager = self.producer._txn_manager  # noqa: SLF001  aiokafka says it nowhere else
        return int(manager.producer_id), int(manager.producer_epoch)

    async def commit(self, contents: Sequence[Content]) -> None:
        """All contents in one transaction. After KafkaError or TimeoutError its outcome may be unknown."""
        try:
            await self._commit(contents)
        except IllegalOperation:
            # The client's sender works beside this method. When it meets an error first, the transaction is over, and
            # the error is where the end of the transaction is waited for.
            over = self.producer._txn_manager.wait_for_transaction_end()  # noqa: SLF001  aiokafka says it nowhere else
            if over.done():
                over.result()
            raise

    async def _commit(self, contents: Sequence[Content]) -> None:
        producer = self.producer
        async with self._epoch.transaction(), within(_PUBLISH_WITHIN, "a transaction"):
            await producer.begin_transaction()
            acknowledged = []
            for content in contents:
                for (topic, partition), records in content.batches:
                    acknowledged.append(await producer.send_batch(records, topic, partition=partition))
                topic, partition = content.positions
                acknowledged.append(await producer.send(topic, content.value, content.key, partition))
            await asyncio.gather(*acknowledged)
            await producer.commit_transaction()


@asynccontextmanager
async def open_transactions(
    settings: KafkaSettings, transactional_id: str, service: str, shard: int
) -> AsyncIterator[Transactions]:
    """`service` and `shard` are what metrics and the log call it by."""
    producer = AIOKafkaProducer(
        **client_options(settings),
        client_id=f"oms-relay-{service}-{shard}",
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        max_batch_size=LARGEST_BATCH,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
    )
    transactions = Transactions(producer, Epoch(producer.client, service, shard))
    try:
        async with within(_START_WITHIN, "starting the producer"):
            await producer.start()
        yield transactions
    finally:
        await _stop(producer)


async def _stop(producer: Any) -> None:
    """Stop the producer, or abandon it after a second: without a broker its `stop` would wait for ever. The next
    producer of the id fences an abandoned one."""
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
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """asyncio.timeout, but the TimeoutError says what took too long."""
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield
    except TimeoutError:
        if timeout.expired():
            raise TimeoutError(f"{what} took longer than {seconds:.0f} s") from None
        raise
