"""A real broker for the tests, found in this order:

1. KAFKA_BOOTSTRAP_SERVERS, when it is set (for example from `docker compose up -d redpanda`);
2. Docker, when its daemon answers: Redpanda through testcontainers;
3. a JDK with Maven: Apache Kafka out of its jars, kept in the user's cache folder;
4. none: tests that need one are skipped and say so; with CI=true they fail.
"""

import base64
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Kafka 4.3.0 and 4.3.1 lose the markers of transactions that end while a partition has no leader, as all of a single
# node's have while it stops and after it starts (KAFKA-20734): such a transaction hangs for ever, and read_committed
# consumers see nothing behind it.
KAFKA_VERSION = "4.2.1"
STARTS_WITHIN = 60.0


class NoBroker(Exception):
    """There is no way to a broker on this machine."""


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
    elif shutil.which("java") and (shutil.which("mvn") or _jars().exists()):
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

    with RedpandaContainer() as container:
        docker = container.get_wrapped_container()
        yield Broker(container.get_bootstrap_server(), docker.pause, docker.unpause)


def _jars() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "distributed-oms" / f"kafka-{KAFKA_VERSION}"


def _fetch_jars() -> Path:
    jars = _jars()
    if jars.exists():
        return jars
    with tempfile.TemporaryDirectory() as folder:
        pom = Path(folder) / "pom.xml"
        pom.write_text(
            "<project><modelVersion>4.0.0</modelVersion><groupId>oms</groupId><artifactId>kafka</artifactId>"
            "<version>1</version><dependencies><dependency><groupId>org.apache.kafka</groupId>"
            f"<artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version></dependency></dependencies></project>"
        )
        subprocess.run(
            ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", "-DincludeScope=runtime",
             f"-DoutputDirectory={folder}/jars"],
            check=True,
        )  # fmt: skip
        jars.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(f"{folder}/jars", jars)
    return jars


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _apache_kafka() -> Iterator[Broker]:
    classpath = f"{_fetch_jars()}/*"
    folder = Path(tempfile.mkdtemp(prefix="oms-test-kafka-"))
    port, controller = free_port(), free_port()
    properties = folder / "server.properties"
    properties.write_text(
        f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/logs
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=true
"""
    )
    cluster = base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()
    subprocess.run(
        [
            "java",
            "-cp",
            classpath,
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster}",
            "-c",
            str(properties),
        ],
        check=True,
        capture_output=True,
    )
    running: list[subprocess.Popen[bytes]] = []
    log = (folder / "kafka.log").open("ab")

    def start() -> None:
        running.append(
            subprocess.Popen(
                ["java", "-Xmx512m", "-cp", classpath, "kafka.Kafka", str(properties)], stdout=log, stderr=log
            )
        )
        _wait_for(port, running[-1], folder / "kafka.log")

    def stop() -> None:
        process = running.pop()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    start()
    try:
        yield Broker(f"127.0.0.1:{port}", stop, start)
    finally:
        if running:
            stop()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NoBroker(f"Kafka ended at once: {log.read_text()[-2000:]}")
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise NoBroker(f"Kafka did not listen within {STARTS_WITHIN:.0f} s: {log.read_text()[-2000:]}")
