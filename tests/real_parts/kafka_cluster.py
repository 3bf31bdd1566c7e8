"""A Kafka cluster on loopback: its nodes are killed, paused and started again as on a bad day.

Usable outside of pytest, too. Who leads what is asked over the wire, from whichever node answers.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.metadata import MetadataRequest

from tests.real_parts.kafka_node import FEW_THREADS, KafkaNode, NoBroker, java_there, new_cluster_id
from tests.real_parts.kafka_quorum import DescribeQuorum

_JAVA_OPTIONS = ("-Xmx384m", *FEW_THREADS)
_ANSWERS_WITHIN = 60.0
_REQUEST_TIMEOUT_MS = 2_000
_LOOK_AGAIN = 0.1
_GROUP, _TRANSACTION = 0, 1
# A broker that is gone is known to be after three seconds, not nine; a follower that is behind, and a controller that
# does not answer, after three, not thirty. Shorter times would call a busy machine's node dead.
_SETTINGS = {
    "controller.socket.timeout.ms": "3000",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "replica.lag.time.max.ms": "3000",
    "min.insync.replicas": "2",
    "default.replication.factor": "3",
    "offsets.topic.replication.factor": "3",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
}


@dataclass(frozen=True, slots=True)
class KafkaCluster:
    """The nodes by their numbers, from 1 on."""

    nodes: Mapping[int, KafkaNode]

    @property
    def bootstrap_servers(self) -> str:
        """Where clients begin."""
        return ",".join(f"{node.host}:{node.advertised_port}" for node in self.nodes.values())

    async def leader_of(self, topic: str, partition: int) -> KafkaNode:
        """The node that leads a partition, once one does."""

        async def ask(client: Any) -> int:
            found = await _partitions(client, [topic])
            return found[topic, partition].leader

        return await self._node(ask, f"a leader of {topic}-{partition}")

    async def coordinator_of(self, transactional_id: str) -> KafkaNode:
        """The node that keeps this producer's transactions: the leader of its partition of `__transaction_state`."""
        return await self._coordinator(transactional_id, _TRANSACTION)

    async def coordinator_of_group(self, group: str) -> KafkaNode:
        """The node that keeps this group and its offsets: the leader of its partition of `__consumer_offsets`."""
        return await self._coordinator(group, _GROUP)

    async def controller(self) -> KafkaNode:
        """The node that leads the controllers' quorum. Metadata name another: any broker, to which a client may send
        what is meant for the controller."""

        async def ask(client: Any) -> int:
            answer = await client.send(client.get_random_node(), DescribeQuorum())
            _raise_for(answer.error_code)
            ((_, ((_, error, leader, *_),), _),) = answer.topics
            _raise_for(error)
            return int(leader)

        return await self._node(ask, "a leader of the controllers")

    async def until_whole(self, within: float = _ANSWERS_WITHIN) -> None:
        """Return when every node is there and every copy of every partition is in sync."""

        async def whole(client: Any) -> bool:
            metadata = await _metadata(client, [])
            partitions = await _partitions(client, [topic for _, topic, *_ in metadata.topics])
            return len(metadata.brokers) == len(self.nodes) and all(found.whole for found in partitions.values())

        await self._ask(whole, "all copies in sync", within)

    async def standing(self) -> str:
        """What each node that runs says of the others, for a test that fails."""
        return "; ".join([await _says(node) for node in self.nodes.values() if node.pid is not None])

    async def _coordinator(self, key: str, kind: int) -> KafkaNode:
        async def ask(client: Any) -> int:
            answer = await client.send(client.get_random_node(), FindCoordinatorRequest(key, kind))
            _raise_for(answer.error_code)
            return int(answer.coordinator_id)

        return await self._node(ask, f"a coordinator of {key}")

    async def _node(self, ask: Callable[[Any], Awaitable[int]], what: str) -> KafkaNode:
        async def running(client: Any) -> KafkaNode | None:
            node = self.nodes.get(await ask(client))
            return node if node is not None and node.pid is not None else None

        found = await self._ask(running, what)
        assert isinstance(found, KafkaNode)
        return found

    async def _ask(self, question: Callable[[Any], Awaitable[Any]], what: str, within: float = _ANSWERS_WITHIN) -> Any:
        """The first answer that is true; what a node says that knows nothing yet is asked again."""
        said: Any = None
        try:
            async with asyncio.timeout(within):
                while True:
                    try:
                        async with _client(self.bootstrap_servers) as client:
                            while not (said := await question(client)):
                                await asyncio.sleep(_LOOK_AGAIN)
                            return said
                    except (KafkaError, LookupError, OSError) as error:
                        said = error
                        await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            raise AssertionError(f"the cluster had not {what} within {within:.0f} s: {said!r}") from None


@contextmanager
def kafka_cluster(
    brokers: int = 3, *, advertised_ports: Mapping[int, int] | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[KafkaCluster]:
    """Nodes that are broker and controller, started; gone afterwards. Raises NoBroker with a sentence about what is
    missing.

    With `advertised_ports`, clients are sent to these ports, by node, where proxies listen in front of
    `KafkaNode.port`.
    """
    if not java_there():
        raise NoBroker("a cluster is needed: install a JDK and Maven")
    folder = Path(tempfile.mkdtemp(prefix="oms-test-kafka-"))
    ports = advertised_ports or {}
    nodes = {
        number: KafkaNode(number, folder / f"n{number}", _JAVA_OPTIONS, advertised_port=ports.get(number, 0))
        for number in range(1, brokers + 1)
    }
    try:
        _make_storage(list(nodes.values()), settings or {})
        for node in nodes.values():
            node.launch()
        for node in nodes.values():
            node.await_listening()
        yield KafkaCluster(nodes)
    finally:
        for node in nodes.values():
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _make_storage(nodes: list[KafkaNode], settings: Mapping[str, str]) -> None:
    first, *others = nodes
    voters = ",".join(node.voter for node in nodes)
    for node in nodes:
        node.configure(voters, _SETTINGS | dict(settings))
    first.format(new_cluster_id())
    for node in others:
        node.copy_storage(first)


@dataclass(frozen=True, slots=True)
class _Partition:
    leader: int
    whole: bool


async def _says(node: KafkaNode) -> str:
    try:
        async with _client(f"{node.host}:{node.port}") as client:
            metadata = await client.send(node.number, MetadataRequest(None, allow_auto_topic_creation=False))
    except (KafkaError, OSError) as error:
        return f"node {node.number} answers {error!r}"
    brokers = sorted(number for number, *_ in metadata.brokers)
    led: dict[str, Counter[int]] = {
        topic: Counter(leader for _, _, leader, *_ in partitions) for _, topic, _, partitions in metadata.topics
    }
    leaders = ", ".join(f"{topic}: {dict(count)}" for topic, count in led.items())
    return f"node {node.number} sees brokers {brokers} and leaders {leaders}"


async def _metadata(client: Any, topics: list[str]) -> Any:
    return await client.send(client.get_random_node(), MetadataRequest(topics or None, allow_auto_topic_creation=False))


async def _partitions(client: Any, topics: list[str]) -> dict[tuple[str, int], _Partition]:
    """What the metadata of one of the nodes say."""
    found = {}
    for error, topic, _, partitions in (await _metadata(client, topics)).topics:
        _raise_for(error)
        for _, number, leader, replicas, in_sync, *_ in partitions:
            found[topic, number] = _Partition(leader, sorted(replicas) == sorted(in_sync) and leader in in_sync)
    return found


def _raise_for(error_code: int) -> None:
    if error_code:
        raise for_code(error_code)


@asynccontextmanager
async def _client(bootstrap_servers: str) -> AsyncIterator[Any]:
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        await client.bootstrap()
        yield client
    finally:
        await client.close()
