"""The topics on Kafka: making them, and reading them as they come."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from messaging.kafka.client import client_options, record_of
from messaging.kafka.settings import KafkaSettings
from messaging.ports.outbox import SHARDS
from messaging.ports.record import Record


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic to be made. A compacted one keeps the last record of each key."""

    name: str
    partitions: int
    compacted: bool = False
    options: dict[str, str] = field(default_factory=dict)


def positions_of(service: str) -> Topic:
    """Where the relays of a service write down what they published: a partition for each shard of its outbox."""
    return Topic(
        f"{service}-outbox-positions", SHARDS, compacted=True, options={"segment.bytes": str(16 * 1024 * 1024)}
    )


async def create_topics(settings: KafkaSettings, topics: Sequence[Topic], *, replication: int = 1) -> list[str]:
    """Make the topics that are not there yet, and name them. Raises KafkaError."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        response = await admin.create_topics(
            [
                NewTopic(
                    settings.prefix + topic.name,
                    topic.partitions,
                    replication,
                    topic_configs={"cleanup.policy": "compact" if topic.compacted else "delete"} | topic.options,
                )
                for topic in topics
            ]
        )
    finally:
        await admin.close()
    created = []
    for name, code, *reason in response.topic_errors:
        error = for_code(code)
        if code == 0:
            created.append(name.removeprefix(settings.prefix))
        elif error is not TopicAlreadyExistsError:
            raise error(f"topic {name}: {reason[0] if reason else ''}")
    return created


async def read_topic(settings: KafkaSettings, topic: str, *, from_beginning: bool) -> AsyncIterator[Record]:
    """Every committed record of the topic from its beginning or from now on, without end."""
    consumer = AIOKafkaConsumer(
        settings.prefix + topic,
        **client_options(settings),
        group_id=None,
        isolation_level="read_committed",
        auto_offset_reset="earliest" if from_beginning else "latest",
    )
    try:
        await consumer.start()
        async for record in consumer:
            yield record_of(record, settings.prefix)
    finally:
        await consumer.stop()
