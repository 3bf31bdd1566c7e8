"""One secured broker for all tests of the wire."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from messaging.kafka.topics import create_topics
from oms.services import TOPICS
from tests.real_parts.kafka_node import NoBroker
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
