"""The topics on Kafka: describing, creating and reading them."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from messaging.kafka.admin import describe, open_admin, until_known
from messaging.kafka.client import client_options, record_of
from messaging.kafka.settings import KafkaSettings
from messaging.ports.outbox import SHARDS
from messaging.ports.record import Record

RETENTION = timedelta(days=7)
SEGMENT = timedelta(days=1)
LARGEST_MESSAGE = 64 * 1024
"""The size limit of messages. An order of 100 lines with the longest product ids and prices needs two thirds of it."""
TOPIC_TAKES = 1024 * 1024
"""The size limit of batches, in bytes."""
_KNOWN_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class Topic:
    """The settings of a topic. A compacted topic keeps the last record of each key."""

    name: str
    partitions: int
    compacted: bool = False
    options: dict[str, str] = field(default_factory=dict)

    @property
    def cleanup_policy(self) -> str:
        """The cleanup.policy of the topic."""
        return "compact" if self.compacted else "delete"


def positions_of(service: str) -> Topic:
    """The topic on which the relays of a service record their positions. It has a partition for each shard."""
    return Topic(
        f"{service}-outbox-positions", SHARDS, compacted=True, options={"segment.bytes": str(16 * 1024 * 1024)}
    )


def in_sync_replicas(replication: int) -> int:
    """How many replicas must have a record before it is acknowledged: two if one broker may then still fail, else
    one."""
    return 2 if replication > 2 else 1


async def create_topics(settings: KafkaSettings, topics: Sequence[Topic], *, replication: int = 1) -> list[str]:
    """Create the missing topics, wait until the brokers know them, and return their names. Raises KafkaError."""
    async with open_admin(settings) as admin:
        response = await admin.create_topics(
            [
                NewTopic(
                    settings.prefix + topic.name,
                    topic.partitions,
                    replication,
                    topic_configs=configuration(topic, replication),
                )
                for topic in topics
            ]
        )
        created = []
        for name, code, *reason in response.topic_errors:
            error = for_code(code)
            if code == 0:
                created.append(name)
            elif error is not TopicAlreadyExistsError:
                raise error(f"topic {name}: {reason[0] if reason else ''}")
        await until_known(admin, created, _KNOWN_WITHIN)
    return [name.removeprefix(settings.prefix) for name in created]


def configuration(topic: Topic, replication: int) -> dict[str, str]:
    """The settings with which the topic is created."""
    config = {
        "cleanup.policy": topic.cleanup_policy,
        "min.insync.replicas": str(in_sync_replicas(replication)),
        "max.message.bytes": str(TOPIC_TAKES),
        # The broker dates records by its own clock. With the producer's clock, a record that is dated an hour ahead
        # would be refused, and an old one deleted.
        "message.timestamp.type": "LogAppendTime",
    }
    if not topic.compacted:
        config |= {
            "retention.ms": milliseconds(RETENTION),
            "segment.ms": milliseconds(SEGMENT),
            "retention.bytes": "-1",  # whatever the brokers do by default
        }
    return config | topic.options


def milliseconds(time: timedelta) -> str:
    """The time as Kafka's settings want it."""
    return str(time // timedelta(milliseconds=1))


async def read_topic(settings: KafkaSettings, topic: str, *, from_beginning: bool) -> AsyncGenerator[Record, None]:
    """Every committed record of the topic, from its beginning or from now on, without end. Raises KafkaError, also when
    the topic does not exist."""
    name = settings.prefix + topic
    async with open_admin(settings) as admin:
        if (await describe(admin, [name])).get(name) is None:
            raise UnknownTopicOrPartitionError(f"there is no topic {name} that this user may look at")
    consumer = AIOKafkaConsumer(
        name,
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
