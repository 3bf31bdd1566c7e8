"""A task of the Kafka client's own that ends is noticed: the consumer begins again, and everything arrives."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence

import pytest
from aiokafka import AIOKafkaProducer
from structlog.testing import capture_logs

from messaging.kafka import consumer as kafka_consumer
from messaging.kafka.consumer import deliver_from_kafka, open_consumer
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import Topic, create_topics
from tests.messaging.consumers import until
from tests.messaging.test_kafka_consumer import _open


def _tasks_of(part: str) -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__qualname__", "") == part]


def _begun_again(logs: Sequence[Mapping[str, object]]) -> bool:
    return any(line["event"] == "consuming begins again" for line in logs)


@pytest.mark.parametrize(
    "part",
    [
        "Fetcher._fetch_requests_routine",
        "GroupCoordinator._coordination_routine",
        "GroupCoordinator._heartbeat_routine",
        "AIOKafkaClient._md_synchronizer",
    ],
)
async def test_a_part_of_the_client_that_is_cancelled(kafka: KafkaSettings, part: str) -> None:
    topic = f"test-{uuid.uuid4().hex}"
    settings = kafka.model_copy(update={"session_timeout_seconds": 6.0})
    await create_topics(settings, [Topic(topic, partitions=1)])
    subscriber = _open()
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        others = set(_tasks_of(part))
        with capture_logs() as logs:
            async with deliver_from_kafka(settings, f"group-of-{topic}", [topic], subscriber):
                await producer.send_and_wait(topic, b"one", b"a")
                await subscriber.until(1)
                for task in set(_tasks_of(part)) - others:
                    task.cancel()
                await producer.send_and_wait(topic, b"two", b"a")
                await subscriber.until(2)
                if "heartbeat" not in part:  # without heartbeats the client joins its group again by itself
                    await until(lambda: _begun_again(logs), "a consumer that begins again")
                    await producer.send_and_wait(topic, b"three", b"a")
                    await subscriber.until(3)

    assert {record.value for record in subscriber.got} >= {b"one", b"two"}


@pytest.mark.parametrize("hangs", ["_stop_heartbeat_task", "_stop_commit_offsets_refresh_task", "_maybe_leave_group"])
async def test_a_consumer_that_cannot_leave_its_group_is_abandoned_with_all_its_parts(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    """A coordinator may hang at any step of leaving. Nothing that would go on unwatched is left behind."""
    monkeypatch.setattr(kafka_consumer, "_STOP_WITHIN", 0.1)
    topic = f"test-{uuid.uuid4().hex}"
    await create_topics(kafka, [Topic(topic, partitions=1)])
    before = asyncio.all_tasks()
    async with open_consumer(kafka, f"group-of-{topic}") as consumer:
        consumer.subscribe([topic])
        await until(lambda: bool(consumer.assignment()), "partitions")
        monkeypatch.setattr(consumer._coordinator, hangs, asyncio.Event().wait)

    assert [connection for connection in consumer._client._conns.values() if connection.connected()] == []
    await until(lambda: asyncio.all_tasks() <= before, "the end of all tasks")
