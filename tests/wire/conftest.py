"""One secured broker for all tests of the wire."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from messaging.kafka.topics import create_topics
from oms.services import TOPICS
from tests.real_parts.kafka_node import NoBroker
from tests.real_parts.postgres_tls import TlsServer, system_postgres, tls_server
from tests.real_parts.secured_kafka import SecuredBroker, secured_kafka


@pytest.fixture(scope="session")
def secured() -> Iterator[SecuredBroker]:
    """A broker with TLS, passwords, tokens and certificates, and our topics."""
    try:
        with secured_kafka() as broker:
            asyncio.run(create_topics(broker.by_password(), TOPICS))
            yield broker
    except NoBroker as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def tls_postgres() -> Iterator[TlsServer]:
    """A PostgreSQL with TLS."""
    system = system_postgres()
    if system is None:
        pytest.skip("a PostgreSQL with TLS is needed, which the wheel's is not: apt-get install postgresql")
    with tls_server(system) as server:
        yield server
