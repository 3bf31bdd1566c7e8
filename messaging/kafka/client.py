"""The options of every Kafka client (addresses and credentials), and the readers that aiokafka uses."""

from typing import Any

import aiokafka.admin.client
import aiokafka.client
import aiokafka.conn
import aiokafka.consumer.fetcher
from aiokafka.protocol.metadata import MetadataRequest

from messaging.kafka.batches import FetchedBatches, ReadablePartitionRecords
from messaging.kafka.connection import Connection
from messaging.kafka.oauth import token_provider
from messaging.kafka.settings import KafkaSettings
from messaging.ports.record import Record


class _AskAboutTopics(MetadataRequest):  # type: ignore[misc]  # aiokafka has no types
    """A metadata request that never creates a topic. An auto-created topic would have the wrong settings."""

    def __init__(self, topics: list[str] | None = None) -> None:
        super().__init__(topics, allow_auto_topic_creation=False)


# aiokafka has no arguments for these.
aiokafka.client.MetadataRequest = aiokafka.admin.client.MetadataRequest = _AskAboutTopics
aiokafka.conn.AIOKafkaConnection = Connection
aiokafka.consumer.fetcher.MemoryRecords = FetchedBatches
aiokafka.consumer.fetcher.PartitionRecords = ReadablePartitionRecords


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """The common keyword arguments of aiokafka's producers, consumers and admin clients."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol.value,
    }
    if context := settings.ssl_context():
        options["ssl_context"] = context
    if settings.uses_tokens:
        options |= {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": token_provider(settings)}
    elif settings.uses_sasl:
        options |= {
            "sasl_mechanism": settings.sasl_mechanism.value,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.sasl_password,  # Connection reads it at each login
        }
    return options


def record_of(record: Any, prefix: str) -> Record:
    """Our record of a record of aiokafka. Bytes that are not UTF-8 are escaped, and the handler rejects the record if
    it needs them."""
    return Record(
        record.topic.removeprefix(prefix),
        record.partition,
        record.offset,
        (record.key or b"").decode(errors="backslashreplace"),
        {name: (value or b"").decode(errors="backslashreplace") for name, value in record.headers},
        record.value or b"",
    )
