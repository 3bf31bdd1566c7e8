"""The transport of messages by EVENT_PUBLISHER: through Kafka, within this process, or only into the log."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from messaging.brokerless.in_process import InProcessBroker
from messaging.brokerless.logging_publisher import open_logging_publisher
from messaging.kafka.consumer import deliver_from_kafka
from messaging.kafka.publisher import kafka_publishers
from messaging.kafka.settings import KafkaSettings
from messaging.ports.event_publisher import OpenPublisher
from messaging.ports.subscription import CaughtUp, Delivering, Subscriber
from messaging.runtime.settings import PublisherKind


class Transport(Protocol):
    """The two ends of a transport: the EventPublisher adapter of a relay, and the deliveries to a consumer."""

    def publishers(self, service: str) -> OpenPublisher:
        """The publishers of a service's shards."""
        ...

    def deliver(self, group: str, topics: Sequence[str], subscriber: Subscriber) -> Delivering:
        """See `Deliver`."""
        ...


class KafkaTransport:
    """Topics on Kafka. Consumers of the same group share the partitions."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._partitions: dict[str, int] = {}

    def publishers(self, service: str) -> OpenPublisher:
        """See Transport."""
        return kafka_publishers(self._settings, service, self._partitions)

    def deliver(self, group: str, topics: Sequence[str], subscriber: Subscriber) -> Delivering:
        """See Transport."""
        return deliver_from_kafka(self._settings, group, topics, subscriber)


class LoggingTransport:
    """Messages become lines of the log, and no message is delivered."""

    def publishers(self, service: str) -> OpenPublisher:  # noqa: ARG002
        """See Transport."""
        return open_logging_publisher

    @asynccontextmanager
    async def deliver(self, group: str, topics: Sequence[str], subscriber: Subscriber) -> AsyncIterator[CaughtUp]:  # noqa: ARG002
        """See Transport."""
        yield lambda: True


def transport_of(kind: PublisherKind, kafka: KafkaSettings, broker: InProcessBroker) -> Transport:
    """The transport of the settings."""
    match kind:
        case PublisherKind.KAFKA:
            return KafkaTransport(kafka)
        case PublisherKind.LOGGING:
            return LoggingTransport()
        case PublisherKind.IN_PROCESS:
            return broker
