"""The permissions that `oms topics acls` prints: a whole system runs with them, and nobody can do another's part."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from structlog.typing import EventDict
from typer.testing import CliRunner

from messaging.engine.background import running
from messaging.engine.relay import Relay
from messaging.kafka.admin import open_admin
from messaging.kafka.client import client_options
from messaging.kafka.consumer import deliver_from_kafka
from messaging.kafka.lag import lag_of
from messaging.kafka.offsets import partitions_client
from messaging.kafka.topic_check import problems_with
from messaging.kafka.topics import create_topics
from messaging.ports.message import Message
from messaging.ports.record import Record
from messaging.postgres.outbox import INSERT_MESSAGES, PostgresOutbox, message_columns
from messaging.runtime.settings import Role
from messaging.runtime.transport import KafkaTransport
from oms.cli import app
from oms.services import SERVICES, TOPICS
from tests.http.conftest import client_of
from tests.messaging.messages import key_in, message
from tests.real_parts.guarded_kafka import ADMIN, guarded_kafka, logged_in, run_kafka_acls
from tests.real_parts.order_process import ORDER
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.query import rows
from tests.real_parts.three_services import service_databases

DEADLINE = 60.0
PREFIX = "shop."
APPLICATION = frozenset({Role.API, Role.CONSUMER})
RELAY = frozenset({Role.RELAY})
USERS = [f"oms-{service}-{role}" for service in SERVICES for role in ("relay", "consumer")] + ["oms-operator"]


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """A broker on which nothing is but the topics, with the permissions that are printed."""
    with guarded_kafka([*USERS, "nobody"]) as servers:
        printed = CliRunner().invoke(app, ["topics", "acls"], env={"KAFKA_PREFIX": PREFIX})
        assert printed.exit_code == 0, printed.output
        asyncio.run(run_kafka_acls(logged_in(servers, ADMIN, PREFIX), printed.output.splitlines()))
        asyncio.run(create_topics(logged_in(servers, "oms-operator", PREFIX), TOPICS))
        yield servers


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    """What is logged."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@asynccontextmanager
async def _running(
    servers: str, databases: Mapping[str, str], users: Mapping[tuple[str, frozenset[Role]], str]
) -> AsyncIterator[dict[tuple[str, frozenset[Role]], Any]]:
    """The services with these roles, each logged in as its user."""
    async with AsyncExitStack() as stack:
        services = {}
        for (name, roles), user in users.items():
            values: dict[str, Any] = {f"{name}_database_url": databases[name]}
            transport = KafkaTransport(logged_in(servers, user, PREFIX))
            started = SERVICES[name].start(SERVICES[name].settings(**values), transport, roles)
            services[name, roles] = await stack.enter_async_context(started)
        yield services


def _everybody() -> dict[tuple[str, frozenset[Role]], str]:
    return {
        (name, roles): f"oms-{name}-{role}"
        for name in SERVICES
        for roles, role in ((APPLICATION, "consumer"), (RELAY, "relay"))
    }


async def test_orders_are_confirmed_with_what_is_printed(
    guarded: str, postgres: PostgresServer, logs: list[EventDict]
) -> None:
    async with service_databases(postgres) as databases, _running(guarded, databases, _everybody()) as services:
        async with client_of(services["inventory", APPLICATION].app) as inventory:
            body = {"price": {"amount": "12.50", "currency": "EUR"}, "onHand": 100}
            assert (await inventory.put("/products/p1", json=body)).status_code == 201
        async with client_of(services["order", APPLICATION].app) as api, asyncio.timeout(DEADLINE):
            order_id = (await api.post("/orders", json=ORDER)).json()["orderId"]
            order = {"status": "PENDING"}
            while order["status"] == "PENDING":
                order = (await api.get(f"/orders/{order_id}", headers={"Prefer": "wait=10"})).json()

    assert order["status"] == "CONFIRMED"
    assert [line for line in logs if line["log_level"] in ("warning", "error")] == []


@pytest.mark.parametrize("user", USERS)
async def test_each_role_may_look_at_its_own_topics_and_lag(guarded: str, user: str) -> None:
    settings = logged_in(guarded, user, PREFIX)
    _, service, *role = user.split("-")

    assert await problems_with(settings, TOPICS, timedelta(days=15)) == []
    if role:
        consumed = [PREFIX + topic for topic in SERVICES[service].consumes]
        async with open_admin(settings) as admin, partitions_client(settings, consumed) as client:
            assert len(await lag_of(admin, client, f"{PREFIX}{service}-service", consumed)) == 4 * len(consumed)


async def test_a_relay_with_the_password_of_another_publishes_nothing_and_loses_nothing(
    guarded: str, database: str, logs: list[EventDict]
) -> None:
    kept = message(key_in(0))
    await _keep(database, kept)
    async with _relay(guarded, database, "order", "oms-payment-relay"):
        await _until_told(logs, _sentence("oms-payment-relay", "transactional id shop.oms-outbox-order-0"))
        waiting = await _waiting(database)
    async with _relay(guarded, database, "order", "oms-order-relay"):
        await _until(database, [])

    assert waiting == [kept.event_id]
    assert await _published(guarded, kept.event_id) == 1


async def test_a_relay_does_not_publish_to_the_topic_of_another_service(
    guarded: str, database: str, logs: list[EventDict]
) -> None:
    foreign, own = message(key_in(0)), message(key_in(0), topic="payment-events")
    await _keep(database, foreign, own)
    async with _relay(guarded, database, "payment", "oms-payment-relay"):
        await _until_told(logs, _sentence("oms-payment-relay", "topic shop.order-events"))
        waiting = await _waiting(database)
        await rows(database, "delete from outbox where event_id = $1", foreign.event_id)
        await _until(database, [])

    assert waiting == [foreign.event_id, own.event_id]
    assert await _published(guarded, foreign.event_id) == 0
    assert await _published(guarded, own.event_id, "payment-events") == 1


async def test_a_consumer_with_the_password_of_another_gets_nothing_and_skips_nothing(
    guarded: str, database: str, logs: list[EventDict]
) -> None:
    sent = message(key_in(0), topic="payment-events")
    await _keep(database, sent)
    async with _relay(guarded, database, "payment", "oms-payment-relay"):
        await _until(database, [])
    async with _consumer(guarded, "oms-inventory-consumer") as nothing:
        await _until_told(logs, _sentence("oms-inventory-consumer", "group shop.order-service"))
    async with _consumer(guarded, "oms-order-consumer") as records, asyncio.timeout(DEADLINE):
        while str(sent.event_id) not in [record.headers["ce_id"] for record in records]:
            await asyncio.sleep(0.05)

    assert nothing == []


async def test_a_consumer_that_may_not_read_its_topics_says_so(guarded: str, logs: list[EventDict]) -> None:
    """Without a word it would look healthy and receive nothing."""
    whom = "kafka-acls.sh --bootstrap-server any --add --allow-principal User:nobody"
    group = f"{whom} --operation Read --group shop.order-service"
    look = f"{whom} --operation Describe --topic shop.payment-events"
    admin = logged_in(guarded, ADMIN, PREFIX)
    await run_kafka_acls(admin, [group])
    async with _consumer(guarded, "nobody"):
        await _until_told(logs, _sentence("nobody", "topic shop.inventory-events, shop.payment-events"))
        await run_kafka_acls(admin, [look, look.replace("payment", "inventory")])
        await _until_told(logs, "NotAllowed: Kafka does not allow this to nobody: topic shop.inventory-events;")


def _sentence(user: str, resource: str) -> str:
    return (
        f"NotAllowed: Kafka does not allow this to {user}: {resource}; "
        "`oms topics acls` prints the permissions that are needed"
    )


@asynccontextmanager
async def _relay(servers: str, database: str, service: str, user: str) -> AsyncIterator[None]:
    """A relay of this service, logged in as this user."""
    outbox = PostgresOutbox(database, idle_timeout=2.0)
    transport = KafkaTransport(logged_in(servers, user, PREFIX))
    try:
        async with running({"the relay": Relay(service, outbox, transport.publishers(service)).run()}):
            yield
    finally:
        await outbox.close()


@asynccontextmanager
async def _consumer(servers: str, user: str) -> AsyncIterator[list[Record]]:
    """The records that the order service's consumer gets, logged in as this user."""
    records: list[Record] = []

    async def take(delivered: Sequence[Record]) -> None:
        records.extend(delivered)

    topics = SERVICES["order"].consumes
    async with deliver_from_kafka(logged_in(servers, user, PREFIX), "order-service", topics, take):
        yield records


async def _keep(database: str, *messages: Message) -> None:
    await rows(database, INSERT_MESSAGES, *message_columns(messages))


async def _waiting(database: str) -> list[UUID]:
    return [row[0] for row in await rows(database, "select event_id from outbox order by id")]


async def _until(database: str, waiting: list[UUID]) -> None:
    async with asyncio.timeout(DEADLINE):
        while await _waiting(database) != waiting:
            await asyncio.sleep(0.05)


async def _until_told(logs: list[EventDict], error: str) -> None:
    """Wait for a line with this error."""
    try:
        async with asyncio.timeout(DEADLINE):
            while not any(line.get("error", "").startswith(error) for line in logs):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"nobody said {error}, but {logs[-3:]}") from None


async def _published(servers: str, event_id: UUID, topic: str = "order-events") -> int:
    """How often the event is on the topic, as an operator sees it."""
    settings = logged_in(servers, "oms-operator", PREFIX)
    consumer = AIOKafkaConsumer(**client_options(settings), isolation_level="read_committed", enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(PREFIX + topic, number) for number in range(4)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        found, ends = 0, await consumer.end_offsets(partitions)
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += sum(dict(record.headers)["ce_id"] == str(event_id).encode() for record in records)
    finally:
        await consumer.stop()
    return found
