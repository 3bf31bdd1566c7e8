"""What a measurement is given: the plan, a database server, a broker, and a way to say how far it is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.database import DatabaseServer
from benchmarks.plan import Plan
from messaging.kafka.client import client_options
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import create_topics
from oms.services import TOPICS


@dataclass(frozen=True, slots=True)
class Environment:
    """The same for every measurement of a run. `prefix` keeps its topics apart from what else the broker has."""

    plan: Plan
    database: DatabaseServer
    bootstrap_servers: str
    say: Callable[[str], None]
    prefix: str = field(default_factory=lambda: f"oms-bench-{uuid4().hex[:8]}.")

    def kafka(self, part: str = "") -> KafkaSettings:
        """Where the topics are. Each `part` of the prefix has its own."""
        return KafkaSettings(bootstrap_servers=self.bootstrap_servers, prefix=self.prefix + part)

    async def create_topics(self, part: str = "") -> None:
        """Make the topics of all services, unless they are there."""
        await create_topics(self.kafka(part), TOPICS)

    async def delete_topics(self) -> None:
        """Delete what this run has made."""
        admin = AIOKafkaAdminClient(**client_options(self.kafka()))
        try:
            await admin.start()
            ours = [topic for topic in await admin.list_topics() if topic.startswith(self.prefix)]
            if ours:
                await admin.delete_topics(ours)
        finally:
            await admin.close()

    def settings(self, dsn: str, part: str = "") -> dict[str, str]:
        """The order service's settings: this database, and Kafka."""
        return {"ORDER_DATABASE_URL": dsn, **self.kafka_settings(part)}

    def kafka_settings(self, part: str = "") -> dict[str, str]:
        """Every service's settings for Kafka."""
        kafka = self.kafka(part)
        return {
            "EVENT_PUBLISHER": "kafka",
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_PREFIX": kafka.prefix,
        }
