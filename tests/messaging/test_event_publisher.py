"""What every publisher must do."""

from collections import defaultdict
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio

from messaging.kafka.settings import KafkaSettings
from messaging.ports.message import Message
from tests.messaging.far_sides import FarSide, kafka_topic, log_lines, subscribers
from tests.messaging.messages import batch_of, key_in, message


@pytest.fixture(params=["logging", "in-process", "kafka"])
def reachable(request: pytest.FixtureRequest) -> KafkaSettings | str:
    """Which publisher, and for Kafka how to reach it."""
    if request.param == "kafka":
        settings = request.getfixturevalue("kafka")
        assert isinstance(settings, KafkaSettings)
        return settings
    return str(request.param)


@pytest_asyncio.fixture
async def far_side(reachable: KafkaSettings | str) -> AsyncIterator[FarSide]:
    """Where it arrives."""
    match reachable:
        case KafkaSettings():
            opened = kafka_topic(reachable)
        case "logging":
            opened = log_lines()
        case _:
            opened = subscribers()
    async with opened as far_side:
        yield far_side


def _messages(count: int, topic: str) -> list[Message]:
    keys = [key_in(number % 4) for number in range(7)]
    return [message(keys[number % 7], number, topic=topic) for number in range(count)]


def _by_key(arrived: list[tuple[str, UUID]]) -> dict[str, list[UUID]]:
    by_key: dict[str, list[UUID]] = defaultdict(list)
    for key, event_id in arrived:
        by_key[key].append(event_id)
    return by_key


async def test_what_was_published_is_there_each_once_and_each_key_in_order(far_side: FarSide) -> None:
    messages = _messages(300, far_side.topic)

    async with far_side.open_publisher(0) as publisher:
        for first in (0, 100, 200):
            await publisher.publish(batch_of(messages[first : first + 100], first_row=first + 1))
            arrived = await far_side.arrived(first + 100)
            assert len(arrived) == first + 100, "publish returned before everything had arrived, or it arrived twice"

    assert _by_key(arrived) == _by_key([(message.key, message.event_id) for message in messages])


async def test_a_batch_may_be_of_one_message_or_of_thousands(far_side: FarSide) -> None:
    async with far_side.open_publisher(1) as publisher:
        await publisher.publish(batch_of(_messages(1, far_side.topic)))
        await publisher.publish(batch_of(_messages(3000, far_side.topic)))

    assert len(await far_side.arrived(3001)) == 3001


async def test_the_last_position_is_the_last_published_batch_where_that_can_be_known(far_side: FarSide) -> None:
    batches = [
        batch_of(_messages(3, far_side.topic), first_row=1),
        batch_of(_messages(2, far_side.topic), first_row=4),
    ]
    async with far_side.open_publisher(2) as publisher:
        assert await publisher.last_position() is None
        for batch in batches:
            await publisher.publish(batch)
            assert await publisher.last_position() == (batch.position if far_side.knows_positions else None)

    async with far_side.open_publisher(2) as successor:
        assert await successor.last_position() == (batches[-1].position if far_side.knows_positions else None)
    async with far_side.open_publisher(3) as of_another_shard:
        assert await of_another_shard.last_position() is None
