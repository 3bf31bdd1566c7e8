"""One node of Apache Kafka out of its jars: a broker that is a controller, too."""

import base64
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Kafka 4.3.0 and 4.3.1 lose the markers of transactions that end while a partition has no leader, as all of a single
# node's have while it stops and after it starts (KAFKA-20734): such a transaction hangs for ever, and read_committed
# consumers see nothing behind it.
KAFKA_VERSION = "4.2.1"
STARTS_WITHIN = 180.0
# The second compiler and the collector with threads cost more CPU than they save in a broker of a few minutes.
FEW_THREADS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_STOPS_WITHIN = 20.0


class NoBroker(Exception):
    """There is no way to a broker on this machine."""


def java_there() -> bool:
    """Whether this machine can run a node."""
    return bool(shutil.which("java") and (shutil.which("mvn") or _jars().exists()))


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_cluster_id() -> str:
    """A random id, as Kafka writes it."""
    return base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()


@dataclass(slots=True)
class KafkaNode:
    """A node in a folder of its own. Clients are told `advertised_port`, where a proxy may listen. Methods wait until
    the node has done what they say."""

    number: int
    folder: Path
    java_options: Sequence[str]
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    advertised_port: int = 0
    peer_port: int = field(default_factory=free_port)
    controller_port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.advertised_port = self.advertised_port or self.port
        self.folder.mkdir()

    @property
    def voter(self) -> str:
        """Its entry among the controllers' voters."""
        return f"{self.number}@{self.host}:{self.controller_port}"

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log(self) -> str:
        """The end of what it has printed."""
        return self._log.read_text(errors="replace")[-3000:] if self._log.exists() else ""

    def configure(self, voters: str, settings: Mapping[str, str]) -> None:
        """Write its configuration."""
        own = {
            "process.roles": "broker,controller",
            "node.id": str(self.number),
            "controller.quorum.voters": voters,
            "listeners": f"CLIENT://{self.host}:{self.port},PEER://{self.host}:{self.peer_port},"
            f"CONTROLLER://{self.host}:{self.controller_port}",
            "advertised.listeners": f"CLIENT://{self.host}:{self.advertised_port},PEER://{self.host}:{self.peer_port}",
            "inter.broker.listener.name": "PEER",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,PEER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.folder / "logs"),
        }
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in (own | dict(settings)).items()))

    def format(self, cluster_id: str, *options: str) -> None:
        """Make its empty storage."""
        storage = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(self._properties))
        self._run(*storage, *options)

    def copy_storage(self, formatted: "KafkaNode") -> None:
        """Make its empty storage out of another node's, without the seconds of another Java."""
        shutil.copytree(formatted.folder / "logs", self.folder / "logs")
        meta = self.folder / "logs" / "meta.properties"
        kept = [line for line in meta.read_text().splitlines() if not line.startswith(("node.id=", "directory.id="))]
        meta.write_text("\n".join([*kept, f"node.id={self.number}", f"directory.id={new_cluster_id()}", ""]))

    def start(self) -> None:
        """Start it and return when it takes connections. Raises NoBroker with its log when it does not."""
        self.launch()
        self.await_listening()

    def launch(self) -> None:
        """Start it and return at once: a node of a cluster takes connections only when it has found the others."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["java", *self.java_options, "-cp", classpath(), "kafka.Kafka", str(self._properties)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def await_listening(self) -> None:
        """Return when it takes connections. Raises NoBroker with its log when it does not."""
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline:
            if self.pid is None:
                raise NoBroker(f"Kafka ended at once: {self.log}")
            with socket.socket() as probe:
                probe.settimeout(0.5)
                if probe.connect_ex((self.host, self.port)) == 0:
                    return
            time.sleep(0.1)
        raise NoBroker(f"Kafka did not listen within {STARTS_WITHIN:.0f} s: {self.log}")

    def stop(self) -> None:
        """Stop it as an operator would, and kill it when it does not end; nothing when it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """kill -9, also of a paused one; nothing when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: its connections stay open, and nothing is answered on them."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None, f"node {self.number} does not run"
        self._process.send_signal(number)

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            ["java", *self.java_options, "-cp", classpath(), *command], check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise NoBroker(f"{' '.join(command)}: {done.stdout}{done.stderr}")

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _log(self) -> Path:
        return self.folder / "kafka.log"


def _jars() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "distributed-oms" / f"kafka-{KAFKA_VERSION}"


def classpath() -> str:
    """The jars of Kafka, which are fetched the first time. Raises CalledProcessError without a network then."""
    jars = _jars()
    if not jars.exists():
        _fetch_jars(jars)
    return f"{jars}/*"


def _fetch_jars(jars: Path) -> None:
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
