"""What a consumer of `order-events` gets to see."""

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx
from aiokafka import AIOKafkaProducer
from uuid_utils.compat import uuid7

from inventory_service.domain import StockReleased
from inventory_service.infrastructure.event_encoding import encode
from tests.real_parts.kafka import Broker
from tests.real_parts.order_process import ORDER, OrderProcess
from tests.real_parts.topic_reader import topic_reader


async def test_a_placed_order_is_read_from_the_topic_with_its_key_headers_and_value(
    broker: Broker, database: str, tmp_path: Path
) -> None:
    environment = {
        "EVENT_PUBLISHER": "kafka",
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "ORDER_DATABASE_URL": database,
    }
    async with topic_reader(broker.bootstrap_servers) as topic:
        with OrderProcess(tmp_path, environment) as service:
            order_id = httpx.post(f"{service.url}/orders", json=ORDER).json()["orderId"]
            await topic.read_orders([order_id])

    (record,) = topic.records
    headers = {name: value.decode() for name, value in record.headers}
    value = json.loads(record.value)
    assert record.key.decode() == order_id
    assert headers == {
        "ce_specversion": "1.0",
        "ce_id": value["eventId"],
        "ce_source": "/order-service",
        "ce_type": "OrderCreatedEvent",
        "ce_subject": order_id,
        "ce_time": value["occurredAt"],
        "content-type": "application/json",
    }
    assert value | {"eventId": ..., "occurredAt": ...} == {
        "eventId": ...,
        "eventType": "OrderCreatedEvent",
        "eventVersion": 1,
        "occurredAt": ...,
        "orderId": order_id,
        "orderVersion": 1,
        "customerId": None,
        "items": [{"productId": "p1", "quantity": 2}],
    }


async def test_the_events_of_one_order_stand_on_the_topic_in_the_order_of_its_versions(
    broker: Broker, database: str, tmp_path: Path
) -> None:
    environment = {
        "EVENT_PUBLISHER": "kafka",
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "ORDER_DATABASE_URL": database,
    }
    async with topic_reader(broker.bootstrap_servers) as topic:
        with OrderProcess(tmp_path, environment) as service, httpx.Client(base_url=service.url) as client:
            orders = [client.post("/orders", json=ORDER).json()["orderId"] for _ in range(20)]
            for order_id in orders:
                assert client.post(f"/orders/{order_id}/cancel").json()["status"] == "CANCELLING"
            await _release_stock(broker, orders)
            await topic.read_events(40)

    topic.assert_each_once_in_order(orders)
    assert len(topic.records) == 40


async def _release_stock(broker: Broker, orders: list[str]) -> None:
    """Answer for the inventory."""
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
        for order_id in orders:
            released = StockReleased(event_id=uuid7(), order_id=UUID(order_id), occurred_at=datetime.now(UTC))
            message = encode(released)
            headers = [(name, value.encode()) for name, value in message.headers.items()]
            await producer.send_and_wait(message.topic, message.value, key=message.key.encode(), headers=headers)
