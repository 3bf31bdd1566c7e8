"""The far side of every publisher: where what was published arrives, and how a test sees it there."""

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from aiokafka.admin import AIOKafkaAdminClient
from structlog.testing import capture_logs

from messaging.brokerless.in_process import InProcessBroker
from messaging.brokerless.logging_publisher import open_logging_publisher
from messaging.kafka.publisher import open_kafka_publisher
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import Topic, create_topics, positions_of
from messaging.ports.event_publisher import OpenPublisher
from messaging.ports.record import Record
from tests.real_parts.topic_reader import topic_reader


@dataclass(frozen=True, slots=True)
class FarSide:
    """`arrived(n)` waits for `n` messages on `topic` and answers every (key, event id) that came, as they came."""

    topic: str
    open_publisher: OpenPublisher
    arrived: Callable[[int], Awaitable[list[tuple[str, UUID]]]]
    knows_positions: bool = False
    service: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex}")


@asynccontextmanager
async def log_lines() -> AsyncIterator[FarSide]:
    """What LoggingPublisher wrote."""
    with capture_logs() as lines:

        async def arrived(_count: int) -> list[tuple[str, UUID]]:
            events = [line for line in lines if line.get("topic") == "order-events"]
            return [(line["key"], UUID(json.loads(line["value"])["eventId"])) for line in events]

        yield FarSide("order-events", open_logging_publisher, arrived)


@asynccontextmanager
async def subscribers() -> AsyncIterator[FarSide]:
    """What a subscriber in this process got."""
    got: list[tuple[str, UUID]] = []
    broker = InProcessBroker()

    async def subscriber(records: Sequence[Record]) -> None:
        got.extend((record.key, record.event_id) for record in records)

    async def arrived(_count: int) -> list[tuple[str, UUID]]:
        return got

    async with broker.deliver("test", ["order-events"], subscriber), broker.delivering():
        yield FarSide("order-events", broker.open_publisher, arrived)


@asynccontextmanager
async def kafka_topic(kafka: KafkaSettings, **options: str) -> AsyncIterator[FarSide]:
    """What a read_committed consumer finds on a topic of this test's own. `options` are the topic's, with underscores
    for their dots."""
    topic = f"test-{uuid.uuid4().hex}"
    service = f"test-{uuid.uuid4().hex}"
    await create_topics(
        kafka,
        [
            Topic(topic, 2, options={name.replace("_", "."): value for name, value in options.items()}),
            positions_of(service),
        ],
    )
    try:
        async with topic_that_exists(kafka, topic, service) as far_side:
            yield far_side
    finally:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        await admin.start()
        await admin.delete_topics([topic, positions_of(service).name])
        await admin.close()


@asynccontextmanager
async def topic_that_exists(kafka: KafkaSettings, topic: str, service: str) -> AsyncIterator[FarSide]:
    """The same on a topic that is there, as that of the positions of `service` is."""
    async with topic_reader(kafka.bootstrap_servers, topic) as reader:

        async def arrived(count: int) -> list[tuple[str, UUID]]:
            await reader.read_until(lambda: len(reader.records) >= count, f"{count} records")
            await reader.read_to_the_end()
            return [(record.key.decode(), UUID(json.loads(record.value)["eventId"])) for record in reader.records]

        yield FarSide(topic, partial(open_kafka_publisher, kafka, service), arrived, True, service)
