"""A transaction that hangs is a number that operators see."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, RequestTimedOutError
from prometheus_client import REGISTRY

from messaging.kafka.groups import GroupState, state_of_groups
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import positions_of
from messaging.kafka.unstable import unstable_records_counted
from tests.messaging.far_sides import FarSide, kafka_topic
from tests.messaging.messages import batch_of, key_in, message

SHOWN_WITHIN = 60.0


@pytest_asyncio.fixture
async def far_side(kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FarSide]:
    """A topic of the test's own, which is looked at often."""
    monkeypatch.setattr("messaging.kafka.unstable._STABLE_WITHIN", 0.05)
    async with kafka_topic(kafka) as far_side:
        yield far_side


def _unstable(topic: str, partition: int) -> float | None:
    return REGISTRY.get_sample_value("oms_kafka_unstable_records", {"topic": topic, "partition": str(partition)})


async def _until(shown: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(SHOWN_WITHIN):
            while not shown():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited {SHOWN_WITHIN:.0f} s for {what}") from None


async def test_a_transaction_that_stays_open_is_shown_by_partition_until_it_ends(
    far_side: FarSide, kafka: KafkaSettings
) -> None:
    topic, positions = far_side.topic, positions_of(far_side.service).name
    async with (
        far_side.open_publisher(0) as publisher,
        unstable_records_counted(kafka, [topic, positions]),
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=key_in(0).hex) as other,
    ):
        await publisher.publish(batch_of([message(key_in(0), topic=topic)]))
        await _until(lambda: _unstable(topic, 0) == _unstable(topic, 1) == 0, "both partitions, which are stable")

        async with other.transaction():
            for _ in range(3):
                await other.send_and_wait(topic, b"{}", b"other", partition=1)
            await _until(lambda: _unstable(topic, 1) == 3, "the three records of the open transaction")
            assert _unstable(topic, 0) == 0
            assert [_unstable(positions, shard) for shard in range(4)] == [0, 0, 0, 0]

        await _until(lambda: _unstable(topic, 1) == 0, "the end of the transaction")


async def _states(kafka: KafkaSettings, groups: Mapping[str, Sequence[str]]) -> Mapping[str, GroupState]:
    """The state of groups, as soon as a new broker has the topic that it keeps them in."""
    async with asyncio.timeout(SHOWN_WITHIN):
        while True:
            with suppress(GroupCoordinatorNotAvailableError):
                return await state_of_groups(kafka, groups)
            await asyncio.sleep(0.05)


async def test_an_operator_is_told_that_a_transaction_hides_records_from_a_group_and_not_that_one_is_under_way(
    far_side: FarSide, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messaging.kafka.groups._STABLE_WITHIN", 0.05)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=key_in(1).hex)
    async with far_side.open_publisher(0) as publisher, producer as other:
        await publisher.publish(batch_of([message(key_in(0), topic=far_side.topic)]))
        before = await _states(kafka, {"readers": [far_side.topic]})
        async with other.transaction():
            for _ in range(3):
                await other.send_and_wait(far_side.topic, b"{}", b"other", partition=1)
            hidden = await _states(kafka, {"readers": [far_side.topic], "others": []})

    assert not before["readers"].unstable
    assert (hidden["readers"].unstable, hidden["others"].unstable) == ({far_side.topic: 3}, {})


async def test_while_the_broker_does_not_answer_nobody_knows_what_is_unstable(
    far_side: FarSide, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unanswered(*_: object, **__: object) -> None:
        raise RequestTimedOutError

    async with unstable_records_counted(kafka, [far_side.topic]):
        await _until(lambda: _unstable(far_side.topic, 0) == 0, "a first look")
        with monkeypatch.context() as away:
            away.setattr(AIOKafkaClient, "send", unanswered)
            await _until(lambda: math.isnan(_unstable(far_side.topic, 0) or 0), "no number")
        await _until(lambda: _unstable(far_side.topic, 0) == 0, "a number again")


async def test_a_topic_that_is_not_there_and_a_broker_that_is_away_stop_nobody(
    far_side: FarSide, kafka: KafkaSettings
) -> None:
    nobody = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    async with (
        unstable_records_counted(nobody, ["order-events"]),
        unstable_records_counted(kafka, ["nobody-made-this-topic", far_side.topic]),
    ):
        await _until(lambda: _unstable(far_side.topic, 1) == 0, "the topic that is there")
