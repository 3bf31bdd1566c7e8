"""A real broker for the tests, found in this order:

1. KAFKA_BOOTSTRAP_SERVERS, when it is set (for example from `docker compose up -d redpanda`);
2. Docker, when its daemon answers: the Redpanda of docker-compose.yml through testcontainers;
3. a JDK with Maven: Apache Kafka out of its jars, kept in the user's cache folder;
4. none: tests that need one are skipped and say so; with CI=true they fail.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.real_parts.kafka_node import (
    FEW_THREADS,
    KAFKA_VERSION,
    KafkaNode,
    NoBroker,
    free_port,
    java_there,
    new_cluster_id,
)

__all__ = ["ALONE", "KAFKA_VERSION", "Broker", "NoBroker", "free_port", "kafka_broker"]

ALONE = {
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
}
"""The settings of a broker that has no others beside it."""

_COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker. `stop` and `start` are None when it is not ours to stop."""

    bootstrap_servers: str
    stop: Callable[[], None] | None = None
    start: Callable[[], None] | None = None


@contextmanager
def kafka_broker() -> Iterator[Broker]:
    """Raises NoBroker with a sentence about what is missing."""
    if servers := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield Broker(servers)
    elif _docker_answers():
        with _redpanda() as broker:
            yield broker
    elif java_there():
        with _apache_kafka() as broker:
            yield broker
    else:
        raise NoBroker("a broker is needed: set KAFKA_BOOTSTRAP_SERVERS, or start Docker, or install a JDK and Maven")


def _docker_answers() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=20).returncode == 0


@contextmanager
def _redpanda() -> Iterator[Broker]:
    from testcontainers.community.kafka import RedpandaContainer

    image = yaml.safe_load(_COMPOSE.read_text(encoding="utf-8"))["services"]["redpanda"]["image"]
    with RedpandaContainer(image) as container:
        docker = container.get_wrapped_container()
        yield Broker(container.get_bootstrap_server(), docker.pause, docker.unpause)


@contextmanager
def _apache_kafka() -> Iterator[Broker]:
    folder = Path(tempfile.mkdtemp(prefix="oms-test-kafka-"))
    node = KafkaNode(1, folder / "n1", java_options=("-Xmx512m", *FEW_THREADS))
    node.configure(node.voter, ALONE | {"auto.create.topics.enable": "true"})
    try:
        node.format(new_cluster_id())
        node.start()
        yield Broker(f"{node.host}:{node.port}", node.stop, node.start)
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)
