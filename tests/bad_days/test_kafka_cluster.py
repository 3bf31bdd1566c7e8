"""Three brokers of which some are lost: what is committed is published once and in order, and it goes on in seconds."""

import os
from collections.abc import Iterator

import pytest

from tests.real_parts.kafka_cluster import KafkaCluster, kafka_cluster
from tests.real_parts.kafka_node import NoBroker


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


async def test_another_node_leads_what_a_killed_one_has_led_and_the_copies_are_in_sync_when_it_is_back(
    cluster: KafkaCluster,
) -> None:
    await cluster.coordinator_of("some-producer")
    led = await cluster.leader_of("__transaction_state", 0)
    led.kill()
    next_one = await cluster.leader_of("__transaction_state", 0)
    led.start()
    await cluster.until_whole()

    assert next_one.number != led.number
