"""The broker is away under load: orders are taken all the same, and their events follow in order when it is back."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.real_parts.kafka import Broker
from tests.real_parts.order_process import Load, OrderProcess
from tests.real_parts.topic_reader import topic_reader

AWAY_SECONDS = 12  # longer than a request of the client waits
NEVER_FAILED = 'oms_publish_failures_total{service="order"} 0.0'
NOTHING_HANGS = 'oms_kafka_unstable_records{partition="0",topic="order-events"} 0.0'


async def test_orders_are_taken_while_the_broker_is_away_and_their_events_follow_when_it_is_back(
    broker: Broker, database: str, tmp_path: Path
) -> None:
    if broker.stop is None or broker.start is None:
        pytest.skip("this broker is not ours to stop: unset KAFKA_BOOTSTRAP_SERVERS")
    environment = {
        "EVENT_PUBLISHER": "kafka",
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "ORDER_DATABASE_URL": database,
    }
    load, stop = Load.nothing(), asyncio.Event()
    with OrderProcess(tmp_path, environment) as service:
        clients = asyncio.create_task(load.run(service.url, stop, clients=4, pause=0.05))
        async with topic_reader(broker.bootstrap_servers) as topic:
            await load.until_accepted(100)
            await topic.read_until(lambda: len(topic.records) > 0, "a first event while the broker is there")
        await asyncio.to_thread(broker.stop)
        try:
            accepted = len(load.accepted)
            await asyncio.sleep(AWAY_SECONDS)  # the length of the outage is the scenario, not a wait for something
            async with httpx.AsyncClient(base_url=service.url) as client, asyncio.timeout(60):
                while NEVER_FAILED in (metrics := (await client.get("/metrics")).text):
                    await asyncio.sleep(0.1)
                ready = await client.get("/health/ready")
            taken_meanwhile = len(load.accepted) - accepted
        finally:
            await asyncio.to_thread(broker.start)
        stop.set()
        await clients
        async with topic_reader(broker.bootstrap_servers, from_beginning=True) as topic:
            await topic.read_orders(load.accepted)
            async with httpx.AsyncClient(base_url=service.url) as client:
                ready_again = await client.get("/health/ready")
                async with asyncio.timeout(60):
                    while NOTHING_HANGS not in (await client.get("/metrics")).text:
                        await asyncio.sleep(0.1)

    assert taken_meanwhile > 100
    assert (load.refused, load.unexpected, load.unanswered) == ([], [], 0)
    assert (ready.status_code, ready.json()["checks"]["broker"]) == (200, "DOWN")
    assert 'oms_outbox_depth{service="order"} 0.0' not in metrics
    assert ready_again.json()["checks"]["broker"] == "UP"
    topic.assert_each_once_in_order(load.accepted)
