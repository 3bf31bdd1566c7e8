"""What makes publishing to Kafka exactly once: fencing, and the position that lies beside the messages."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from messaging.kafka.publisher import KafkaPublisher
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import positions_of
from messaging.ports.event_publisher import EventPublisher
from messaging.ports.message import Message
from tests.messaging.far_sides import FarSide, kafka_topic
from tests.messaging.messages import batch_of, key_in, message


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
    return publisher._producer


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
    monkeypatch.setattr("messaging.kafka.publisher._SETTLED_WITHIN", 0.2)
    async with far_side.open_publisher(0) as publisher:
        await publisher.publish(batch_of(_messages(far_side)))
        # Nobody's next producer ends this one: as after a broker that lost the marker of ours.
        async with (
            AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=key_in(0).hex) as other,
            other.transaction(),
        ):
            await other.send_and_wait(positions_of(far_side.service).name, b"{}", b"other", partition=0)

            with pytest.raises(KafkaError, match=f"a transaction hangs on {positions_of(far_side.service).name}-0"):
                await publisher.last_position()

        await publisher.last_position()
