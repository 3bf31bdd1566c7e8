"""What a measurement is given: the plan, a database server, a broker, and a way to say how far it is."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.database import DatabaseServer
from benchmarks.plan import Plan
from messaging.kafka import create_topics
from messaging.kafka_settings import KafkaSettings
from order_service.bootstrap import TOPICS


@dataclass(frozen=True, slots=True)
class Environment:
    """The same for every measurement of a run."""

    plan: Plan
    database: DatabaseServer
    bootstrap_servers: str
    say: Callable[[str], None]

    async def create_topics(self) -> None:
        """Make the order service's topics, unless they are there."""
        await create_topics(KafkaSettings(bootstrap_servers=self.bootstrap_servers), TOPICS)

    def settings(self, dsn: str) -> dict[str, str]:
        """The order service's settings: this database, and Kafka."""
        return {
            "ORDER_DATABASE_URL": dsn,
            "EVENT_PUBLISHER": "kafka",
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
        }
