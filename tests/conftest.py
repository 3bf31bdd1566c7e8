"""Fixtures: real PostgreSQL (a fresh clone of the schema for each test) and a real broker."""

import asyncio
import logging
import os
from collections.abc import Iterator

import pytest
import structlog

from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import create_topics
from messaging.ports.audit import WHO
from oms import process
from oms.services import TOPICS
from shared_kernel.caller import ANONYMOUS_NAME
from tests.order_store.databases import empty_database
from tests.real_parts.kafka import Broker, NoBroker, kafka_broker
from tests.real_parts.leftovers import nothing_left_running
from tests.real_parts.postgres import PostgresServer, cloned_database, postgres_server
from tests.real_parts.silence import EndOfSilence, show_stacks_when_asked

_LONGEST_FIRST = ("bad_days", "wire", "deploy", "simulation", "kafka")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        show_stacks_when_asked()
    else:
        config.pluginmanager.register(EndOfSilence())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes come first, so that no worker has one left when the others have nothing more to do."""
    ranks = {folder: rank for rank, folder in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.parent.name, len(ranks)))


@pytest.fixture(scope="session", autouse=True)
def _tidy() -> Iterator[None]:
    """Set up before everything else and so looked at last: no test leaves a process behind."""
    with nothing_left_running():
        yield


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    """A command that runs inside a test sets up the logs of the whole process. They are as before afterwards."""
    names = [None, *logging.Logger.manager.loggerDict]
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = logging.root.handlers[:]
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(autouse=True)
def _no_end_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that hangs when it stops ends its process by force. Inside a test that would be the whole worker, and
    on a busy machine five seconds are no hang."""
    monkeypatch.setattr(process, "STOP_WITHIN_SECONDS", 300.0)
    monkeypatch.setattr(process, "LOOP_ENDS_WITHIN_SECONDS", 300.0)


@pytest.fixture(autouse=True)
def _own_name() -> None:
    """A command that runs inside a test, or inside a fixture, signs the audit trail. Each test begins as nobody."""
    WHO.set(ANONYMOUS_NAME)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole run."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The DSN of an empty database with the whole schema, for this test alone."""
    with cloned_database(postgres) as dsn:
        yield dsn


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[str]:
    """The DSN of a database without a schema, for this test alone."""
    with empty_database(postgres) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One broker for the whole run, with our topics."""
    try:
        with kafka_broker() as running:
            asyncio.run(create_topics(KafkaSettings(bootstrap_servers=running.bootstrap_servers), TOPICS))
            yield running
    except NoBroker as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))


@pytest.fixture
def kafka(broker: Broker) -> KafkaSettings:
    """How to reach the broker."""
    return KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
