"""The whole system as it runs in production: three brokers, three database servers, every role of every service twice,
and a payment gateway. A supervisor starts a process again when it has ended."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from chaos import network
from chaos.clients import product
from chaos.database_cluster import DatabaseCluster, database_cluster
from chaos.requests import Requests
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import create_topics
from messaging.runtime.migrations import migrate
from oms.services import SERVICES, TOPICS
from tests.real_parts.kafka_cluster import KafkaCluster, kafka_cluster
from tests.real_parts.kafka_node import free_port
from tests.real_parts.kafka_proxy import kafka_proxy
from tests.real_parts.order_process import OrderProcess
from tests.real_parts.payment_gateway import RealGateway, real_gateway
from tests.real_parts.three_services import put_products

INSTANCES: Mapping[str, tuple[str, ...]] = {
    "order-api": ("serve", "order", "--roles", "api"),
    "order-relay": ("serve", "order", "--roles", "relay"),
    "order-consumer": ("serve", "order", "--roles", "consumer"),
    "inventory": ("serve", "inventory"),
    "payment": ("serve", "payment"),
}
"""What runs, and how it is started. There are two of each: `order-api-1`, `order-api-2`, …"""

_RESTARTS_AFTER = 0.3


@dataclass(slots=True)
class Exit:
    """A process that ended by itself."""

    instance: str
    status: int
    last_words: str


@dataclass(slots=True)
class Installation:
    """`processes` by the name of the instance. `other_release` is a checkout. `cell` is the number of this installation
    beside others. `exits` are those that no fault brought about directly."""

    brokers: KafkaCluster
    requests: Requests
    kafka: KafkaSettings
    databases: DatabaseCluster
    gateway: RealGateway
    processes: dict[str, OrderProcess]
    other_release: Path | None = None
    cell: int | None = None
    exits: list[Exit] = field(default_factory=list)
    _killed: set[str] = field(default_factory=set)
    _starts: set[asyncio.Future[None]] = field(default_factory=set)

    def instances_of(self, kind: str) -> list[str]:
        """The names of the instances of a kind."""
        return [name for name in self.processes if name.rsplit("-", 1)[0] == kind]

    @property
    def order_urls(self) -> list[str]:
        """Where orders are placed."""
        return [self.processes[name].url for name in self.instances_of("order-api")]

    def kill(self, instance: str) -> None:
        """kill -9. The supervisor starts it again."""
        self._killed.add(instance)
        self.processes[instance].kill()

    @asynccontextmanager
    async def restarted_with(self, instance: str, variables: Mapping[str, str]) -> AsyncIterator[None]:
        """Kill it, and let it start with these environment variables; afterwards again without them."""
        process = self.processes[instance]
        usual, process.environment = process.environment, process.environment | dict(variables)
        try:
            self.kill(instance)
            yield
        finally:
            process.environment = usual
            self.kill(instance)

    async def put_products(self, round_: int) -> None:
        """Put the round's products on sale."""
        await put_products(self.processes[self.instances_of("inventory")[0]].url, product(round_, ""))

    async def until_ready(self, within: float) -> None:
        """Wait until every process says that it is ready. Raises TimeoutError that names the others."""
        deadline = time.monotonic() + within
        async with httpx.AsyncClient(timeout=5) as client:
            while missing := [name for name in self.processes if not await self._is_ready(client, name)]:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not ready after {within:.0f} s: {', '.join(missing)}")
                await asyncio.sleep(0.2)

    async def _is_ready(self, client: httpx.AsyncClient, name: str) -> bool:
        try:
            return (await client.get(f"{self.processes[name].url}/health/ready")).status_code == 200
        except httpx.HTTPError:
            return False

    async def supervise(self) -> None:
        """Start what has ended again, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self.processes:
                group.create_task(self._supervise_one(name))

    async def _supervise_one(self, name: str) -> None:
        process = self.processes[name]
        while True:
            status = process.process.poll() if process.process else None
            if status is None:
                await asyncio.sleep(0.05)
                continue
            if name in self._killed:
                self._killed.discard(name)
            else:
                self.exits.append(Exit(name, status, process.log[-1000:]))
            await asyncio.sleep(_RESTARTS_AFTER)
            start = asyncio.ensure_future(asyncio.to_thread(process.start))
            self._starts.add(start)
            start.add_done_callback(self._starts.discard)
            with suppress(AssertionError):  # it ended again, as the exits say
                await asyncio.shield(start)

    async def stop(self, supervisor: asyncio.Task[None]) -> None:
        """Kill everything, also what is just being started: a thread that starts a process cannot be cancelled."""
        supervisor.cancel()
        await asyncio.wait([supervisor])
        while True:
            for process in self.processes.values():
                process.kill()
            if not self._starts:
                return
            await asyncio.wait(self._starts, timeout=1)


@asynccontextmanager
async def installation(
    folder: Path, other_release: Path | None = None, cell: int | None = None
) -> AsyncIterator[Installation]:
    """Everything, started and ready; killed and gone afterwards."""
    async with AsyncExitStack() as stack:
        databases = stack.enter_context(database_cluster(folder))
        requests, advertised = Requests(), {number: free_port() for number in (1, 2, 3)}
        brokers = stack.enter_context(kafka_cluster(advertised_ports=advertised))
        ports = {advertised[number]: node.port for number, node in brokers.nodes.items()}
        await stack.enter_async_context(kafka_proxy(ports, requests.script, requests.answered))
        gateway = stack.enter_context(real_gateway())
        kafka = KafkaSettings(bootstrap_servers=brokers.bootstrap_servers, prefix=f"{uuid.uuid4().hex[:8]}.")
        await create_topics(kafka, TOPICS, replication=3)
        await databases.until_in_sync()
        for name, service in SERVICES.items():
            await asyncio.to_thread(databases.primary.execute, f"create database {name}_service")
            await migrate(databases.url(f"{name}_service"), service.migrations)
        environment = {f"{name.upper()}_DATABASE_URL": databases.url(f"{name}_service") for name in SERVICES} | {
            "EVENT_PUBLISHER": "kafka",
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_PREFIX": kafka.prefix,
            "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
            "PAYMENT_GATEWAY": gateway.url,
            "RELAY_IDLE_TIMEOUT_SECONDS": "2",
        }
        if cell is not None:
            environment["CELL"] = str(cell)
        names = [(f"{kind}-{number}", command) for kind, command in INSTANCES.items() for number in (1, 2)]
        groups = _groups(databases, len(names))
        processes = {
            name: OrderProcess(folder, environment | {"KAFKA_GROUP_INSTANCE_ID": name}, *command, group=group)
            for (name, command), group in zip(names, groups, strict=True)
        }
        started = Installation(brokers, requests, kafka, databases, gateway, processes, other_release, cell)
        for process in processes.values():
            stack.callback(process.kill)
        await asyncio.gather(*(asyncio.to_thread(process.start) for process in processes.values()))
        supervisor = asyncio.create_task(started.supervise())
        stack.push_async_callback(started.stop, supervisor)
        await started.until_ready(60)
        yield started


def _groups(databases: DatabaseCluster, instances: int) -> Sequence[int | None]:
    """In a network of our own each instance belongs to a group of its own; otherwise all belong to ours."""
    if not network.is_ours():
        return [None] * instances
    groups = range(network.FIRST_GROUP, network.FIRST_GROUP + instances)
    for group in (*groups, databases.group):
        network.mark(group)
    return groups
