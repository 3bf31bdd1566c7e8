"""Each command does what it says."""

import asyncio
import re
from pathlib import Path

import asyncpg
import httpx

from messaging.kafka.settings import KafkaSettings
from tests.cli.commands import oms, python
from tests.messaging.far_sides import kafka_topic
from tests.messaging.messages import batch_of, key_in, message
from tests.real_parts.kafka import Broker, free_port
from tests.real_parts.order_process import ORDER, OrderProcess

IN_MEMORY = {f"{service}_DATABASE_URL": "memory" for service in ("ORDER", "INVENTORY", "PAYMENT")}
ALL_TOPICS = [
    "order-events",
    "inventory-commands",
    "payment-commands",
    "order-outbox-positions",
    "inventory-events",
    "inventory-outbox-positions",
    "payment-events",
    "payment-outbox-positions",
]


def _summary(output: str) -> dict[str, str]:
    """The rows of the table that `oms load` prints."""
    return dict(re.findall(r"│ +(\S.*?) +│ +(\S.*?) +│", output))


async def test_up_takes_orders_and_shows_each_event_and_load_counts_what_became_of_them(tmp_path: Path) -> None:
    with OrderProcess(tmp_path, IN_MEMORY, "up", "--events") as service:
        ended = await oms(tmp_path, "load", "--url", service.url, "-n", "200", "-c", "8")
        assert "nothing survives a restart" in service.log
        async with asyncio.timeout(30), httpx.AsyncClient(base_url=service.url) as client:
            while service.log.count("order-events OrderConfirmedEvent {") < 200:
                await asyncio.sleep(0.05)
            page = (await client.get("/orders", params={"status": "CONFIRMED", "limit": 100})).json()
        shown = service.log.count("order-events OrderCreatedEvent {")

    assert ended.code == 0, ended.errors
    summary = _summary(ended.output)
    assert (summary["accepted"], summary["refused"]) == ("200", "0")
    assert (summary["confirmed"], summary["not settled"]) == ("200", "0")
    assert {"accepted/s", "confirmed/s", "sent to answered, p99", "sent to confirmed, p99"} <= summary.keys()
    assert shown == 200
    assert len(page["orders"]) == 100


async def test_a_command_without_a_table_loads_nothing_that_draws_one(tmp_path: Path) -> None:
    watched = (
        "import oms, sys\n"
        "try:\n    oms.main(['roles', 'order'])\n"
        "finally:\n    print([name for name in sys.modules if name.startswith('rich')])"
    )

    ended = await python(tmp_path, "-c", watched)

    assert ended.output.splitlines()[-1] == "[]", ended.errors


async def test_load_says_what_was_answered_instead_of_an_order(tmp_path: Path) -> None:
    ended = await oms(tmp_path, "load", "--url", f"http://127.0.0.1:{free_port()}", "-n", "5", "-c", "2")

    summary = _summary(ended.output)
    assert (summary["accepted"], summary["refused"], summary["ConnectError"]) == ("0", "5", "5")
    assert ended.code == 1


async def test_topics_are_made_once(tmp_path: Path, broker: Broker) -> None:
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}

    first, second = [await oms(tmp_path, "topics", "create", **kafka) for _ in range(2)]

    assert first.code == second.code == 0, first.errors + second.errors
    assert [line.split(": ")[0] for line in first.output.splitlines()] == ALL_TOPICS
    assert {line.split(": ")[1] for line in first.output.splitlines()} <= {"created", "was there already"}
    assert second.output == "".join(f"{topic}: was there already\n" for topic in ALL_TOPICS)


async def test_tail_shows_the_events_of_a_topic(tmp_path: Path, kafka: KafkaSettings) -> None:
    async with kafka_topic(kafka) as far_side:
        key = key_in(0)
        messages = [message(key, number, topic=far_side.topic) for number in range(3)]
        async with far_side.open_publisher(0) as publisher:
            await publisher.publish(batch_of(messages))
        ended = await oms(
            tmp_path, "events", "tail", far_side.topic, "--from-beginning", "-n", "2",
            KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
        )  # fmt: skip

    assert ended.code == 0, ended.errors
    lines = ended.output.splitlines()
    assert len(lines) == 2
    for line, shown in zip(lines, messages, strict=False):
        assert line.startswith(f"{far_side.topic}[")
        assert line.endswith(f" OrderCreatedEvent {shown.value.decode()}")


async def test_migrate_makes_the_schema_and_does_nothing_when_it_is_there(tmp_path: Path, empty: str) -> None:
    environment = {"ORDER_DATABASE_URL": empty, "PYTHONPROFILEIMPORTTIME": "1"}
    first, again = [await oms(tmp_path, "migrate", "order", **environment) for _ in range(2)]

    for ended in (first, again):
        assert (ended.code, ended.output) == (0, "order: the schema is up to date\n"), ended.errors
    assert "sqlalchemy" in first.errors
    assert "sqlalchemy" not in again.errors, "a start must not wait for the import of what it does not need"
    connection = await asyncpg.connect(empty)
    tables = {row[0] for row in await connection.fetch("select tablename from pg_tables where schemaname = 'public'")}
    await connection.close()
    ours = {table for table in tables if not table.startswith("inbox_")}
    kept = {
        "orders",
        "unknown_orders",
        "outbox",
        "inbox",
        "parked",
        "dead_letters",
        "timelines",
        "api_keys",
        "audit",
        "audit_seals",
    }
    assert ours == {*kept, "alembic_version"}


async def test_a_migrated_database_takes_orders(tmp_path: Path, empty: str) -> None:
    environment = {"ORDER_DATABASE_URL": empty}
    with OrderProcess(tmp_path, environment, "serve", "order", "--roles", "api") as service:
        before = httpx.post(f"{service.url}/orders", json=ORDER)
        await oms(tmp_path, "migrate", "order", **environment)
        after = httpx.post(f"{service.url}/orders", json=ORDER)

    assert before.status_code in (500, 503), "without its tables it cannot say 201"
    assert after.status_code == 201


async def test_memory_has_no_schema_to_migrate(tmp_path: Path) -> None:
    ended = await oms(tmp_path, "migrate", **IN_MEMORY)

    assert (ended.code, ended.output) == (0, "")
    assert ended.errors.count("memory has no schema") == 3


async def test_roles_prints_the_sql_of_one_service_and_no_role_has_a_name_that_is_sql(tmp_path: Path) -> None:
    printed = await oms(tmp_path, "roles", "payment", "--prefix", "shop")
    refused = await oms(tmp_path, "roles", "payment", "--prefix", "shop; drop table payments")

    assert printed.code == 0
    assert all(f"shop_{role}" in printed.output for role in ("migrator", "app", "relay", "operator"))
    assert "('shop_relay', 'outbox', 'select, delete')" in printed.output
    assert (refused.code, refused.output) == (2, "")
