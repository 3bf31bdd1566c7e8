"""What makes publishing to Kafka exactly once: fencing, and the position that lies beside the messages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from itertools import repeat
from typing import Any
from uuid import UUID
from zlib import crc32

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.record.default_records import DefaultRecordBatch
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from messaging.kafka.admin import open_admin
from messaging.kafka.packing import pack
from messaging.kafka.publisher import KafkaPublisher, open_kafka_publisher
from messaging.kafka.settings import Compression, KafkaSettings
from messaging.kafka.topics import positions_of
from messaging.ports.event_publisher import EventPublisher
from messaging.ports.message import Message
from messaging.ports.outbox import Position
from tests.messaging.far_sides import FarSide, kafka_topic
from tests.messaging.messages import batch_of, key_in, message
from tests.messaging.raw_batches import batch_of as raw_batch_of
from tests.messaging.raw_batches import send_raw
from tests.real_parts.waiting import DEADLINE


@pytest_asyncio.fixture
async def far_side(kafka: KafkaSettings) -> AsyncIterator[FarSide]:
    """A topic of the test's own."""
    async with kafka_topic(kafka) as far_side:
        yield far_side


def _messages(far_side: FarSide, count: int = 3) -> list[Message]:
    key = key_in(0)
    return [message(key, number, topic=far_side.topic) for number in range(count)]


def _ids(messages: list[Message]) -> list[UUID]:
    return [message.event_id for message in messages]


def _producer(publisher: EventPublisher) -> Any:
    assert isinstance(publisher, KafkaPublisher)
    return publisher._own.producer


async def _leave_a_transaction_open(publisher: EventPublisher, far_side: FarSide) -> None:
    """As a process does that is killed between sending a batch and committing it."""
    producer, position = _producer(publisher), b'{"ids":[666],"firstEventId":"00000000-0000-7000-8000-000000000000"}'
    await producer.begin_transaction()
    await producer.send_and_wait(far_side.topic, b'{"eventId":"00000000-0000-7000-8000-000000000000"}', b"lost")
    key = f"{far_side.service}/0".encode()
    await producer.send_and_wait(positions_of(far_side.service).name, position, key, partition=0)


async def test_the_next_publisher_of_a_shard_fences_the_one_before(far_side: FarSide) -> None:
    before, after, never = (_messages(far_side) for _ in range(3))
    async with far_side.open_publisher(0) as first:
        await first.publish(batch_of(before))
        async with far_side.open_publisher(0) as second:
            with pytest.raises(KafkaError):
                await first.publish(batch_of(never, first_row=4))
            await second.publish(batch_of(after, first_row=4))

    assert [event_id for _, event_id in await far_side.arrived(6)] == _ids(before) + _ids(after)


async def test_a_publisher_that_is_fenced_is_counted(far_side: FarSide) -> None:
    async with AsyncExitStack() as others:

        async def publish_when_another_has_begun() -> None:
            async with far_side.open_publisher(0) as first:
                await others.enter_async_context(far_side.open_publisher(0))
                await first.publish(batch_of(_messages(far_side)))

        with pytest.raises(ProducerFenced):
            await publish_when_another_has_begun()

    assert REGISTRY.get_sample_value("oms_relay_fenced_total", {"service": far_side.service}) == 1


async def test_a_publisher_that_is_fenced_while_it_sends_is_counted(
    far_side: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's sender works beside the publisher, and may meet the broker's refusal first."""
    async with AsyncExitStack() as others:

        async def publish_and_be_late() -> None:
            async with far_side.open_publisher(0) as first:
                await others.enter_async_context(far_side.open_publisher(0))
                producer = _producer(first)
                send = producer.send

                async def send_late(*arguments: Any, **named: Any) -> Any:
                    async with asyncio.timeout(DEADLINE):
                        while not producer._txn_manager.is_fatal_error():
                            await asyncio.sleep(0.01)
                    return await send(*arguments, **named)

                monkeypatch.setattr(producer, "send", send_late)
                await first.publish(batch_of(_messages(far_side)))

        with pytest.raises(ProducerFenced):
            await publish_and_be_late()

    assert REGISTRY.get_sample_value("oms_relay_fenced_total", {"service": far_side.service}) == 1


async def test_publishers_of_different_shards_do_not_fence_each_other(far_side: FarSide) -> None:
    left, right = _messages(far_side), _messages(far_side)
    async with far_side.open_publisher(0) as first, far_side.open_publisher(1) as second:
        await asyncio.gather(first.publish(batch_of(left)), second.publish(batch_of(right)))

    assert sorted(event_id for _, event_id in await far_side.arrived(6)) == sorted(_ids(left) + _ids(right))


async def test_what_a_publisher_left_uncommitted_is_aborted_by_the_next_one(far_side: FarSide) -> None:
    messages, later = _messages(far_side), _messages(far_side)
    async with far_side.open_publisher(0) as first:
        await first.publish(batch_of(messages))
        await _leave_a_transaction_open(first, far_side)

        async with asyncio.timeout(30), far_side.open_publisher(0) as second:
            assert await second.last_position() == batch_of(messages).position
            await second.publish(batch_of(later, first_row=4))
            assert await second.last_position() == batch_of(later, first_row=4).position

    assert [event_id for _, event_id in await far_side.arrived(6)] == _ids(messages) + _ids(later)


async def test_the_last_position_is_found_behind_aborted_transactions(far_side: FarSide) -> None:
    batch = batch_of(_messages(far_side))
    async with far_side.open_publisher(0) as publisher:
        await publisher.publish(batch)
        for _ in range(10):
            await _leave_a_transaction_open(publisher, far_side)
            await _producer(publisher).abort_transaction()

        assert await publisher.last_position() == batch.position


async def test_the_last_position_is_found_behind_hundreds_of_records_of_others(
    far_side: FarSide, kafka: KafkaSettings
) -> None:
    batch = batch_of(_messages(far_side))
    async with (
        far_side.open_publisher(0) as publisher,
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as neighbour,
    ):
        await publisher.publish(batch)
        acknowledged = [
            await neighbour.send(positions_of(far_side.service).name, b"{}", b"test-neighbour/0", partition=0)
            for _ in range(700)
        ]
        await asyncio.gather(*acknowledged)

        assert await publisher.last_position() == batch.position


async def test_nothing_of_a_batch_that_the_broker_refused_is_seen_and_the_next_publisher_goes_on(
    far_side: FarSide,
) -> None:
    good = _messages(far_side)
    refused = [*_messages(far_side, 2), message(key_in(0), topic=far_side.topic, data="x" * 2_000_000)]
    async with far_side.open_publisher(0) as publisher:
        with pytest.raises(KafkaError):
            await publisher.publish(batch_of(refused))

    async with far_side.open_publisher(0) as publisher:
        assert await publisher.last_position() is None
        await publisher.publish(batch_of(good))

    assert [event_id for _, event_id in await far_side.arrived(3)] == _ids(good)


async def test_a_transaction_that_hangs_on_the_positions_is_named_and_not_waited_for(
    far_side: FarSide, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with far_side.open_publisher(0) as publisher:
        await publisher.publish(batch_of(_messages(far_side)))
        # Nobody's next producer ends this one: as after a broker that lost the marker of ours.
        async with (
            AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=key_in(0).hex) as other,
            other.transaction(),
        ):
            await other.send_and_wait(positions_of(far_side.service).name, b"{}", b"other", partition=0)

            with monkeypatch.context() as soon:
                soon.setattr("messaging.kafka.publisher._SETTLED_WITHIN", 0.2)
                with pytest.raises(KafkaError, match=f"a transaction hangs on {positions_of(far_side.service).name}-0"):
                    await publisher.last_position()

        await publisher.last_position()


async def test_the_last_position_is_found_behind_what_cannot_be_read(far_side: FarSide, kafka: KafkaSettings) -> None:
    batch = batch_of(_messages(far_side))
    positions = positions_of(far_side.service).name
    key = f"{far_side.service}/0".encode()
    async with (
        far_side.open_publisher(0) as publisher,
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as somebody,
    ):
        await publisher.publish(batch)
        unreadable = {await send_raw(somebody, positions, raw_batch_of([b"{}"], odd=[0]))}
        odd = (b'{"ids":["x"],"firstEventId":"x"}', b'{"ids":[1,2],"firstEventId":"x","eventIds":"AAAA"}')
        for value in (None, b"", b"[]", b"{}", b"\xff", *odd):
            unreadable.add((await somebody.send_and_wait(positions, value, key, partition=0)).offset)

        with capture_logs() as lines:
            assert await publisher.last_position() == batch.position

    named = {line["offset"] for line in lines if line["event"] == "a position cannot be read"}
    assert named == unreadable


async def test_of_a_position_of_an_earlier_release_the_row_is_known_whose_event_it_names(
    far_side: FarSide, kafka: KafkaSettings
) -> None:
    event_id = _messages(far_side)[0].event_id
    value = b'{"ids":[41,42,43],"firstEventId":"%b"}' % str(event_id).encode()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as earlier:
        key = f"{far_side.service}/0".encode()
        await earlier.send_and_wait(positions_of(far_side.service).name, value, key, partition=0)

    async with far_side.open_publisher(0) as publisher:
        assert await publisher.last_position() == Position((41,), (event_id,))


async def test_batches_are_split_to_what_the_topic_takes(kafka: KafkaSettings) -> None:
    async with kafka_topic(kafka, max_message_bytes="20000") as far_side:
        keys = [key_in(0) for _ in range(3)]
        messages = [message(keys[number % 3], number, topic=far_side.topic, data="x" * 1500) for number in range(150)]
        async with far_side.open_publisher(0) as publisher:
            await publisher.publish(batch_of(messages))

        arrived = await far_side.arrived(len(messages))

    for key in keys:
        assert [event_id for of, event_id in arrived if of == str(key)] == [
            each.event_id for each in messages if each.key == str(key)
        ]


@pytest.mark.parametrize("compression", Compression)
async def test_messages_are_compressed_as_the_configuration_says(
    far_side: FarSide, kafka: KafkaSettings, compression: Compression
) -> None:
    settings = kafka.model_copy(update={"compression": compression})
    messages = _messages(far_side, 50)
    async with open_kafka_publisher(settings, far_side.service, 0) as publisher:
        await publisher.publish(batch_of(messages))
        (target,) = (await publisher._targets_of(messages)).values()  # type: ignore[attr-defined]

    assert [event_id for _, event_id in await far_side.arrived(50)] == _ids(messages)
    ((_, packed),) = pack(messages, {far_side.topic: target})
    batch = DefaultRecordBatch(bytes(packed._build()))
    assert ["none", "gzip", "snappy", "lz4", "zstd"][batch.compression_type] == compression


def test_messages_are_compressed_with_zstd_unless_the_configuration_says_otherwise() -> None:
    assert KafkaSettings().compression is Compression.ZSTD


async def test_a_message_that_is_too_large_for_its_topic_is_named_with_what_to_do(kafka: KafkaSettings) -> None:
    async with kafka_topic(kafka, max_message_bytes="20000") as far_side:
        large = message(key_in(0), topic=far_side.topic, data="x" * 20_000)
        async with far_side.open_publisher(0) as publisher:
            with pytest.raises(KafkaError, match=f"{large.event_id} .* {far_side.topic} takes 20000: its max.message"):
                await publisher.publish(batch_of([large]))


async def test_keys_keep_their_partitions_when_a_topic_gets_more_of_them(
    far_side: FarSide, kafka: KafkaSettings
) -> None:
    partitions: dict[str, int] = {}
    open_publisher = partial(open_kafka_publisher, kafka, far_side.service, partitions=partitions)
    key = next(key for key in map(str, map(key_in, repeat(0))) if crc32(key.encode()) % 3 != crc32(key.encode()) % 2)
    before, after = (message(UUID(key), number, topic=far_side.topic) for number in range(2))
    async with open_publisher(0) as publisher:
        await publisher.publish(batch_of([before]))
    async with open_admin(kafka) as admin:
        await admin.create_partitions({far_side.topic: NewPartitions(3)})

    with capture_logs() as lines:
        async with open_publisher(0) as publisher:
            await publisher.publish(batch_of([after], first_row=2))

    assert await far_side.arrived(2) == [(key, before.event_id), (key, after.event_id)]
    assert [(line["before"], line["now"]) for line in lines if "partitions have changed" in line["event"]] == [(2, 3)]


async def test_a_topic_that_is_not_there_is_named_and_not_made(far_side: FarSide, kafka: KafkaSettings) -> None:
    missing = f"missing-{far_side.topic}"
    async with far_side.open_publisher(0) as publisher:
        with pytest.raises(KafkaError, match=f"topic {missing} is not there"):
            await publisher.publish(batch_of([message(key_in(0), topic=missing)]))

    async with open_admin(kafka) as admin:
        assert missing not in await admin.list_topics()
