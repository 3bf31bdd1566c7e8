"""A reader whose partition has moved, while nobody tells it where to."""

import asyncio
import time
from contextvars import copy_context
from random import Random
from unittest.mock import patch

from aiokafka import AIOKafkaConsumer, TopicPartition

from messaging.kafka.client import client_options
from messaging.kafka.settings import Compression, KafkaSettings
from messaging.kafka.topics import Topic
from simulation.chance import Chance
from simulation.event_loop import MACHINE, Machine, SimulatedLoop
from simulation.kafka.cluster import BOOTSTRAP_SERVERS, Cluster
from simulation.kafka.connection import WIRE, Fate, Wire, simulated_connections
from simulation.network import Network

_SECONDS = 10.0


def test_it_does_not_ask_the_old_leader_as_fast_as_that_can_refuse() -> None:
    assert copy_context().run(_fetches_while_nobody_tells_of_the_new_leader) <= 20 * _SECONDS


def _fetches_while_nobody_tells_of_the_new_leader() -> int:
    MACHINE.set(Machine("test"))
    loop = SimulatedLoop(Random(1))
    cluster = Cluster(loop, Random(2), [Topic("test-topic", 1)])
    wire = Wire(loop, cluster, Network(Random(3)), Random(4), lambda *_: None)
    WIRE.set(wire)
    fetches = 0

    def fate(_client: str, kind: str) -> Fate:
        nonlocal fetches
        fetches += kind == "Fetch"
        return Fate.HELD_SILENTLY if kind == "Metadata" else Fate.ARRIVES

    async def run() -> None:
        loop.create_task(cluster.run())
        kafka = KafkaSettings(bootstrap_servers=BOOTSTRAP_SERVERS, compression=Compression.NONE)
        consumer = AIOKafkaConsumer(**client_options(kafka))
        await consumer.start()
        try:
            partition = TopicPartition("test-topic", 0)
            consumer.assign([partition])
            await consumer.seek_to_end(partition)
            await consumer.position(partition)
            wire.fate = fate
            cluster.leadership.passed_over.add(cluster.leadership.leader("test-topic", 0))
            await asyncio.sleep(_SECONDS)
        finally:
            await consumer.stop()

    clocks = patch.multiple(time, monotonic=loop.time, time=Chance(loop, Random(5)).seconds)
    with simulated_connections(), clocks:
        loop.run_until_complete(run())
    assert fetches > 0
    return fetches
