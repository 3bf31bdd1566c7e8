"""Garbage on a topic: each piece is a dead letter with its coordinates, and the partition moves on."""

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from uuid_utils.compat import uuid7

from messaging.engine.consumer import Consumer
from messaging.engine.decoding import Envelope, decoder
from messaging.kafka.consumer import deliver_from_kafka
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import Topic, create_topics
from messaging.memory.failures import MemoryFailures
from messaging.ports.message import Message
from messaging.ports.record import Record
from messaging.ports.subscription import Subscription
from tests.messaging.conftest import FailuresUnderTest
from tests.messaging.consumers import until
from tests.messaging.messages import message


@pytest_asyncio.fixture
async def topic(kafka: KafkaSettings) -> AsyncIterator[str]:
    """A topic of the test's own, with one partition."""
    name = f"test-{uuid.uuid4().hex}"
    await create_topics(kafka, [Topic(name, partitions=1)])
    yield name
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.delete_topics([name])
    await admin.close()


class _Handled:
    """A handler that reads what it gets."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._decode = decoder(Envelope)

    async def __call__(self, record: Record) -> None:
        self.ids.append(str(self._decode(record).eventId))

    def consumer(self, topic: str, failures: Any) -> Consumer:
        return Consumer("test", [Subscription(topic, {"OrderCreatedEvent": self}, "/test")], failures)


async def _send(producer: Any, topic: str, good: Message) -> None:
    headers = [(name, value.encode()) for name, value in good.headers.items()]
    await producer.send_and_wait(topic, good.value, good.key.encode(), headers=headers)


async def test_garbage_in_keys_headers_and_values_is_buried_and_what_follows_is_handled(
    kafka: KafkaSettings, topic: str, kept: FailuresUnderTest
) -> None:
    good = message(uuid7(), topic=topic)
    headers = [(name, value.encode()) for name, value in good.headers.items()]
    garbage: Sequence[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]] = [
        (None, b"", []),
        (b"tombstone", None, []),
        (b"\xff\0", b"\xff", [("ce_type", b"\xff\0"), ("ce_id", None)]),
        (b"\0", good.value, headers),
        (b"k" * 9000, good.value, headers),
        (good.key.encode(), b"[" * 50_000, headers),
        (good.key.encode(), good.value, [(name, b"\xff\0") for name, _ in headers]),
        (good.key.encode(), good.value, [each for each in headers if each[0] != "ce_type"]),
        (good.key.encode(), good.value, [("ce_type", b"\0"), *headers[1:2]]),
    ]
    handled = _Handled()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        for key, value, its_headers in garbage:
            await producer.send_and_wait(topic, value, key, headers=its_headers)
        await _send(producer, topic, good)
    async with deliver_from_kafka(kafka, topic, [topic], handled.consumer(topic, kept.failures).handle):
        await until(lambda: handled.ids == [str(good.event_id)], "the good one")

    dead = await kept.dead()
    assert sorted((letter.record.topic, letter.record.partition, letter.record.offset) for letter in dead) == [
        (topic, 0, offset) for offset in range(len(garbage))
    ]
    assert all(letter.error for letter in dead)
    assert await kept.parked() == []


async def test_records_that_the_client_cannot_read_are_buried_without_their_contents(
    kafka: KafkaSettings, topic: str
) -> None:
    """A header's name that is not UTF-8, as a client in another language can write it."""
    handled, failures = _Handled(), MemoryFailures()
    delivered: list[int] = []

    async def subscriber(records: Sequence[Record]) -> None:
        delivered.extend(record.offset for record in records)
        await handled.consumer(topic, failures).handle(records)

    good = [message(uuid7(), topic=topic) for _ in range(6)]
    unreadable: list[int] = []
    async with (
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=topic) as producer,
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as somebody_else,
    ):
        for place, each in enumerate(good):
            async with producer.transaction():  # its end takes an offset, too
                await _send(producer, topic, each)
            if place in (1, 2, 4):
                unreadable += await _send_unreadable(somebody_else, topic, count=place)
    async with deliver_from_kafka(kafka, topic, [topic], subscriber):
        await until(lambda: len(set(handled.ids)) == len(good), "the good ones")

    assert handled.ids == [str(each.event_id) for each in good]
    assert {(letter.record.topic, letter.record.partition) for letter in failures.dead} == {(topic, 0)}
    assert {letter.record.offset for letter in failures.dead} >= set(unreadable)
    assert "utf-8" in failures.dead[0].record.headers["unreadable"]
    assert delivered == sorted(set(delivered)), "each once, and in order"


class _NotUtf8(str):
    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        """Bytes that no text has."""
        return b"\xff\xfe"


async def _send_unreadable(producer: Any, topic: str, *, count: int) -> Sequence[int]:
    """Answers their offsets."""
    batch = producer.create_batch()
    batch._builder = _DefaultRecordBatchBuilderPy(2, 0, False, -1, -1, -1, 10_000)
    for _ in range(count):
        batch.append(value=b"{}", key=b"key", timestamp=None, headers=[(_NotUtf8("name"), b"value")])
    batch.close()
    first = (await (await producer.send_batch(batch, topic, partition=0))).offset
    return range(first, first + count)
