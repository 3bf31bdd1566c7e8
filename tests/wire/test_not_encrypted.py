"""What somebody on the way to another machine may read is said at the start."""

import pytest
from structlog.testing import capture_logs

from messaging.kafka.settings import KafkaSettings
from messaging.runtime.settings import PublisherKind
from oms.service_process import warn_of_readers
from order_service.settings import OrderSettings


@pytest.mark.parametrize(
    ("url", "kafka", "to"),
    [
        (
            "postgresql://u:p@db.example.com/orders",
            {"bootstrap_servers": "kafka.example.com"},
            ["the database of order", "Kafka"],
        ),
        (
            "postgresql://u:p@db.example.com/orders?sslmode=require",
            {"bootstrap_servers": "localhost:1, kafka.example.com:9092", "security_protocol": "SSL"},
            [],
        ),
        ("embedded", {"bootstrap_servers": "localhost:1, kafka.example.com:9092"}, ["Kafka"]),
        ("postgresql:///orders", {"bootstrap_servers": "127.0.0.1:9092,[::1]:9092,localhost"}, []),
    ],
    ids=["both", "neither", "one broker of two", "this machine"],
)
def test_each_connection_without_tls_to_another_machine_is_named(
    url: str, kafka: dict[str, str], to: list[str]
) -> None:
    settings = OrderSettings(order_database_url=url, event_publisher=PublisherKind.KAFKA)
    with capture_logs() as lines:
        warn_of_readers({"order": settings}, KafkaSettings.model_validate(kafka))

    assert [line["to"] for line in lines] == to
    assert not [line for line in lines if "p@" in str(line)]
