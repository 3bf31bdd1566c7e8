"""The lag of a consumer's group is a number that operators see, also while no consumer runs."""

import asyncio
import math
from collections.abc import Callable, Sequence

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import RequestTimedOutError
from prometheus_client import REGISTRY

from messaging.kafka.consumer import deliver_from_kafka
from messaging.kafka.lag import lag_counted
from messaging.kafka.settings import KafkaSettings
from messaging.ports.record import Record
from tests.messaging.far_sides import kafka_topic
from tests.messaging.messages import batch_of, key_in, message

SHOWN_WITHIN = 60.0


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("messaging.kafka.lag._LOOK_EVERY", 0.05)


def _lag(service: str, topic: str) -> float | None:
    """The lag of all partitions together."""
    found = [
        sample.value
        for family in REGISTRY.collect()
        if family.name == "oms_consumer_lag_records"
        for sample in family.samples
        if (sample.labels["service"], sample.labels["topic"]) == (service, topic)
    ]
    return sum(found) if found else None


async def _until(shown: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(SHOWN_WITHIN):
            while not shown():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited {SHOWN_WITHIN:.0f} s for {what}") from None


async def _take(_: Sequence[Record]) -> None:
    """Handle everything at once."""


async def test_the_lag_grows_while_no_consumer_runs_and_is_nothing_once_everything_is_handled(
    kafka: KafkaSettings,
) -> None:
    async with kafka_topic(kafka) as far_side, far_side.open_publisher(0) as publisher:
        topic, service = far_side.topic, far_side.service
        async with lag_counted(kafka, service, [topic]):
            await _until(lambda: _lag(service, topic) == 0, "a group that never ran has nothing to do on empty topics")
            await publisher.publish(batch_of([message(key_in(0), number, topic=topic) for number in range(3)]))
            await _until(lambda: (_lag(service, topic) or 0) >= 3, "the three records that nobody has handled")
            async with deliver_from_kafka(kafka, f"{service}-service", [topic], _take):
                await _until(lambda: _lag(service, topic) == 0, "nothing, not even the marker of the transaction")
            await publisher.publish(
                batch_of([message(key_in(0), number, topic=topic) for number in range(5)], first_row=4)
            )
            await _until(lambda: (_lag(service, topic) or 0) >= 5, "the records that came after the consumer stopped")


async def test_while_no_broker_answers_the_lag_is_not_a_number(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unanswered(*_: object, **__: object) -> None:
        raise RequestTimedOutError

    async with kafka_topic(kafka) as far_side, lag_counted(kafka, far_side.service, [far_side.topic]):
        await _until(lambda: _lag(far_side.service, far_side.topic) == 0, "a first look")
        with monkeypatch.context() as away:
            away.setattr(AIOKafkaAdminClient, "list_consumer_group_offsets", unanswered)
            await _until(lambda: math.isnan(_lag(far_side.service, far_side.topic) or 0), "no number")
        await _until(lambda: _lag(far_side.service, far_side.topic) == 0, "a number again")
