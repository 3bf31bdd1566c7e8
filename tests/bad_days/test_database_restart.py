"""PostgreSQL restarts under load: requests succeed or get 503, none is answered with 201 and lost."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.real_parts.kafka import Broker
from tests.real_parts.order_process import Load, OrderProcess
from tests.real_parts.postgres import PostgresServer, cloned_database, postgres_server
from tests.real_parts.topic_reader import topic_reader

RESTARTS = 2


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of this test's own: it will be stopped."""
    with postgres_server() as running:
        yield running


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    """A database on it."""
    with cloned_database(server) as dsn:
        yield dsn


async def test_the_service_recovers_by_itself_and_no_accepted_order_is_lost(
    broker: Broker, server: PostgresServer, database: str, tmp_path: Path
) -> None:
    environment = {
        "EVENT_PUBLISHER": "kafka",
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "ORDER_DATABASE_URL": database,
    }
    load, stop = Load.nothing(), asyncio.Event()
    async with topic_reader(broker.bootstrap_servers) as topic:
        with OrderProcess(tmp_path, environment) as service:
            clients = asyncio.create_task(load.run(service.url, stop))
            await load.until_accepted(200)
            for _ in range(RESTARTS):
                await asyncio.to_thread(server.stop)
                await asyncio.to_thread(server.start)
                await load.until_accepted(len(load.accepted) + 200)
            stop.set()
            await clients
            await topic.read_orders(load.accepted)
    connection = await asyncpg.connect(database)
    stored = {str(row["id"]) for row in await connection.fetch("select id from orders")}
    await connection.close()

    assert (load.unexpected, load.unanswered) == ([], 0)
    assert load.refused, "no request met the restart, so it proved nothing"
    assert set(load.accepted) <= stored
    topic.assert_each_once_in_order(load.accepted)
