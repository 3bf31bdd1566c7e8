"""Garbage on a topic: each piece is a dead letter with its coordinates, and the partition moves on."""

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from uuid_utils.compat import uuid7

from messaging.engine.consumer import Consumer
from messaging.engine.decoding import Envelope, decoder
from messaging.kafka.codecs import LARGEST
from messaging.kafka.consumer import deliver_from_kafka
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import Topic, create_topics, read_topic
from messaging.memory.failures import MemoryFailures
from messaging.ports.message import Message
from messaging.ports.record import Record
from messaging.ports.subscription import Subscription
from tests.messaging.conftest import FailuresUnderTest
from tests.messaging.consumers import until
from tests.messaging.messages import message
from tests.messaging.raw_batches import CODECS, batch_of, placing, send_raw


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
                unreadable.append(await send_raw(somebody_else, topic, batch_of([b"{}"], odd=[0])))
    async with deliver_from_kafka(kafka, topic, [topic], subscriber):
        await until(lambda: len(set(handled.ids)) == len(good), "the good ones")

    assert handled.ids == [str(each.event_id) for each in good]
    assert {(letter.record.topic, letter.record.partition) for letter in failures.dead} == {(topic, 0)}
    assert [letter.record.offset for letter in failures.dead] == unreadable
    assert "utf-8" in failures.dead[0].record.headers["unreadable"]
    assert delivered == sorted(set(delivered)), "each once, and in order"


@pytest.mark.parametrize("codec", [0, *CODECS.values()])
async def test_batches_of_every_codec_are_handled(kafka: KafkaSettings, topic: str, codec: int) -> None:
    good = [message(uuid7(), topic=topic) for _ in range(20)]
    handled, failures = _Handled(), MemoryFailures()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        await send_raw(producer, topic, batch_of(good, codec=codec))
    async with deliver_from_kafka(kafka, topic, [topic], handled.consumer(topic, failures).handle):
        await until(lambda: len(handled.ids) == len(good), "all of them")

    assert handled.ids == [str(each.event_id) for each in good]
    assert failures.dead == []


async def test_batches_that_no_program_should_make_are_buried_and_their_neighbours_are_handled(
    kafka: KafkaSettings, topic: str
) -> None:
    """Each of them passes the broker."""
    good = [message(uuid7(), topic=topic) for _ in range(11)]
    bomb = batch_of([bytes(2 * LARGEST)], codec=CODECS["zstd"])
    handled, failures = _Handled(), MemoryFailures()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        await send_raw(producer, topic, batch_of(good[:3]))
        await send_raw(producer, topic, bomb)
        await send_raw(producer, topic, batch_of(good[3:6], codec=CODECS["lz4"], odd=[1]))
        await send_raw(producer, topic, placing(batch_of(good[6:9]), 1, 2**31))
        await send_raw(producer, topic, batch_of(good[9:]))
    async with deliver_from_kafka(kafka, topic, [topic], handled.consumer(topic, failures).handle):
        await until(lambda: str(good[-1].event_id) in handled.ids, "the last one")
        shown = read_topic(kafka, topic, from_beginning=True)
        offsets = [(await anext(shown)).offset for _ in range(12)]
        await shown.aclose()

    assert handled.ids == [str(each.event_id) for place, each in enumerate(good) if place not in (4, 7)]
    assert [(letter.record.offset, letter.error.split(":")[0]) for letter in failures.dead] == [
        (3, "the record at offset 3 cannot be read"),
        (5, "the record at offset 5 cannot be read"),
        (8, "the record at offset 8 cannot be read"),
    ]
    assert offsets == list(range(12)), "whoever looks at the topic sees them all"
