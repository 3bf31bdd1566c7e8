"""Three brokers of which some are lost: what is committed is published once and in order, and it goes on in seconds.

BROKER_KILLS=100 BROKER_SEED=7 makes the kills last as long as somebody likes.
"""

import asyncio
import json
import os
import random
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from aiokafka.admin.config_resource import ConfigResourceType
from aiokafka.protocol.admin import DescribeConfigsRequest

from messaging.kafka.admin import describe, open_admin
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import create_topics
from oms.services import TOPICS
from tests.bad_days.fulfilment_load import Customers
from tests.cli.commands import oms
from tests.real_parts.kafka import Broker
from tests.real_parts.kafka_cluster import KafkaCluster, kafka_cluster
from tests.real_parts.kafka_node import KafkaNode, NoBroker
from tests.real_parts.order_process import ORDER, Load, OrderProcess
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.query import rows
from tests.real_parts.three_services import SETTLED, ThreeServices, three_services
from tests.real_parts.topic_reader import topic_reader

SEED = int(os.environ.get("BROKER_SEED", "8"))
KILLS = int(os.environ.get("BROKER_KILLS", "2"))
PROBES = 12  # most of the four shards have one
GOES_ON_WITHIN = 120.0  # seconds, but for a machine that has something else to do, too
_OF_THE_TOPIC = 1
ROLES = ("transactions", "transactions", "data", "offsets", "controller")
"""Whose leader is killed, in turn. That of the transactions twice in a row: the second is the one that took over. The
others are killed with BROKER_KILLS=5 and in campaigns (`make chaos`)."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    """Three nodes for the tests of this module."""
    try:
        with kafka_cluster() as running:
            yield running
    except NoBroker as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))


async def test_events_are_published_once_and_orders_settle_while_leaders_and_controllers_are_killed(
    cluster: KafkaCluster, postgres: PostgresServer, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    broker = Broker(cluster.bootstrap_servers)
    async with three_services(broker, postgres, tmp_path, replication=3, STEP_TIMEOUT_SECONDS="120") as services:
        customers = Customers(lambda: services.url("order"), rng)
        async with _ordering(customers):
            await cluster.until_whole()
            for number in range(KILLS):
                role = ROLES[number % len(ROLES)]
                await _lose(await _leader(cluster, services, role, rng), role, cluster, services)
        await services.until_settled(len(customers.accepted) + PROBES * KILLS)
        audit = await services.audit()
        assert services.kafka is not None
        await _assert_published_once(services.kafka, await _versions(services.databases["order"]))

    audit.assert_sums_agree()
    assert set(customers.accepted) <= {str(row["id"]) for row in audit.orders}


async def test_with_too_few_copies_in_sync_nothing_is_published_and_the_outbox_drains_when_they_are_back(
    cluster: KafkaCluster, database: str, tmp_path: Path
) -> None:
    kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, prefix=f"{uuid.uuid4().hex[:8]}.")
    await create_topics(kafka, TOPICS, replication=3)
    environment = {
        "EVENT_PUBLISHER": "kafka",
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_PREFIX": kafka.prefix,
        "ORDER_DATABASE_URL": database,
    }
    load, stop = Load.nothing(), asyncio.Event()
    killed, paused, _ = cluster.nodes.values()
    with OrderProcess(tmp_path, environment) as service:
        async with (
            httpx.AsyncClient(base_url=service.url, timeout=30) as client,
            topic_reader(kafka.bootstrap_servers, f"{kafka.prefix}order-events") as topic,
        ):
            clients = asyncio.create_task(load.run(service.url, stop, clients=2))
            await topic.read_until(lambda: len(topic.records) > 0, "a first event")
            killed.kill()
            paused.pause()
            try:
                await _until_ready_says(client, "DOWN")
                published, accepted = await _published(client), len(load.accepted)
                await load.until_accepted(accepted + 200)
                published_meanwhile = await _published(client) - published
                stop.set()
                await clients
            finally:
                paused.resume()
                await asyncio.to_thread(killed.start)
            await topic.read_orders(load.accepted)
            await _until_ready_says(client, "UP")

    assert published_meanwhile == 0
    assert (load.refused, load.unexpected, load.unanswered) == ([], [], 0)
    topic.assert_each_once_in_order(load.accepted)


async def test_topics_that_are_created_with_three_copies_say_themselves_how_safe_they_are(
    cluster: KafkaCluster, tmp_path: Path
) -> None:
    kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, prefix=f"{uuid.uuid4().hex[:8]}.")
    variables = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KAFKA_PREFIX": kafka.prefix}

    ended = await oms(tmp_path, "topics", "create", "--replication", "3", **variables)

    assert ended.code == 0, ended
    assert await _explicit(kafka, "order-events") == {
        "cleanup.policy": "delete",
        "min.insync.replicas": "2",
        "retention.ms": str(7 * 86_400_000),
        "retention.bytes": "-1",
        "segment.ms": str(86_400_000),
        "max.message.bytes": str(1024 * 1024),
        "message.timestamp.type": "LogAppendTime",
    }
    assert (await _explicit(kafka, "order-outbox-positions"))["min.insync.replicas"] == "2"
    async with open_admin(kafka) as admin:
        found = await describe(admin, [kafka.prefix + topic.name for topic in TOPICS])
    assert {topic.replicas for topic in found.values() if topic} == {3}


async def _leader(cluster: KafkaCluster, services: ThreeServices, role: str, rng: random.Random) -> KafkaNode:
    assert services.kafka is not None
    prefix = services.kafka.prefix
    match role:
        case "data":
            return await cluster.leader_of(f"{prefix}order-events", rng.randrange(4))
        case "transactions":
            return await cluster.coordinator_of(f"{prefix}oms-outbox-order-{rng.randrange(4)}")
        case "offsets":
            return await cluster.coordinator_of_group(f"{prefix}order-service")
        case _:
            return await cluster.controller()


async def _lose(node: KafkaNode, what: str, cluster: KafkaCluster, services: ThreeServices) -> None:
    """Kill it, wait until orders are confirmed without it, and bring it back."""
    began = time.monotonic()
    node.kill()
    try:
        await _confirm(services.url("order"))
    except TimeoutError:
        raise AssertionError(f"{what}: nothing is confirmed; {await cluster.standing()}") from None
    print(f"{what}: orders are confirmed {time.monotonic() - began:.1f} s after the kill of node {node.number}")
    await asyncio.to_thread(node.start)
    await cluster.until_whole()


async def _confirm(url: str) -> None:
    """Place some orders and wait until they are confirmed."""

    async def one(client: httpx.AsyncClient) -> None:
        order = (await client.post("/orders", json=ORDER)).raise_for_status().json()
        while order["status"] not in SETTLED:
            answer = await client.get(f"/orders/{order['orderId']}", headers={"Prefer": "wait=10"})
            order = answer.raise_for_status().json()
        assert order["status"] == "CONFIRMED", order

    async with httpx.AsyncClient(base_url=url, timeout=30) as client, asyncio.timeout(GOES_ON_WITHIN):
        await asyncio.gather(*(one(client) for _ in range(PROBES)))


@asynccontextmanager
async def _ordering(customers: Customers) -> AsyncIterator[None]:
    """Customers order meanwhile, no more than a busy machine serves, too."""
    stop = asyncio.Event()
    ordering = asyncio.create_task(customers.place_until(stop, at_a_time=4, pause=0.1))
    try:
        yield
    finally:
        stop.set()
        await ordering


async def _assert_published_once(kafka: KafkaSettings, orders: dict[str, int]) -> None:
    """Each event stands on its topic once, and those of an order from its first version to its last."""
    for name in (topic.name for topic in TOPICS if not topic.compacted):
        async with topic_reader(kafka.bootstrap_servers, kafka.prefix + name, from_beginning=True) as topic:
            await topic.read_to_the_end()
        assert len(topic.records) == len(topic.event_ids), f"{name} has events twice"
        if name == "order-events":
            topic.assert_each_once_in_order(orders)
            last = {record.key.decode(): json.loads(record.value)["orderVersion"] for record in topic.records}
    assert last == orders, "the last event of each order tells of its last version"


async def _versions(dsn: str) -> dict[str, int]:
    return {str(row["id"]): row["version"] for row in await rows(dsn, "select id, version from orders")}


async def _until_ready_says(client: httpx.AsyncClient, of_the_broker: str) -> None:
    async with asyncio.timeout(60):
        while (await client.get("/health/ready")).json()["checks"]["broker"] != of_the_broker:
            await asyncio.sleep(0.1)


async def _published(client: httpx.AsyncClient) -> float:
    metrics = (await client.get("/metrics")).text
    (line,) = (line for line in metrics.splitlines() if line.startswith("oms_events_published_total{"))
    return float(line.split()[-1])


async def _explicit(kafka: KafkaSettings, topic: str) -> dict[str, str]:
    """The settings that the topic has of its own, whatever the brokers' defaults are."""
    async with open_admin(kafka) as admin:
        asked = DescribeConfigsRequest([(ConfigResourceType.TOPIC, kafka.prefix + topic, None)])
        answer = await admin._client.send(admin._client.get_random_node(), asked)
    ((_, _, _, _, entries),) = answer.resources
    return {name: value for name, value, _, source, *_ in entries if source == _OF_THE_TOPIC}
