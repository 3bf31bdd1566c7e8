"""The stage of the firing campaign: the services in processes of their own, over a broker, a primary with a standby,
and a payment gateway, with orders that come all the time."""

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import create_topics
from messaging.runtime.migrations import migrate
from oms.services import SERVICES, TOPICS
from tests.campaigns.short_rules import Prometheus, prometheus
from tests.real_parts.kafka import ALONE
from tests.real_parts.kafka_node import FEW_THREADS, KafkaNode, new_cluster_id
from tests.real_parts.order_process import Load, OrderProcess
from tests.real_parts.payment_gateway import RealGateway
from tests.real_parts.postgres_cluster import Node, postgres_cluster
from tests.real_parts.three_services import put_products

_PROCESSES: Mapping[str, tuple[str, ...]] = {
    "order-api": ("order", "--roles", "api"),
    "order-relay": ("order", "--roles", "relay"),
    "order-consumer": ("order", "--roles", "consumer"),
    "inventory": ("inventory",),
    "payment": ("payment",),
    "payment-api": ("payment", "--roles", "api"),
}
_CLIENTS, _PAUSE = 4, 0.3
_QUICK = {
    "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
    "RELAY_IDLE_TIMEOUT_SECONDS": "2",
    "STEP_TIMEOUT_SECONDS": "2",
    "PAYMENT_GATEWAY_TIMEOUT_SECONDS": "2",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that a fault can be injected into."""

    primary: Node
    standby: Node
    broker: KafkaNode
    kafka: KafkaSettings
    gateway: RealGateway
    processes: Mapping[str, OrderProcess]
    prometheus: Prometheus
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where orders are placed."""
        return self.processes["order-api"].url

    async def stopped(self, *names: str) -> None:
        """kill -9 of these processes."""
        for name in names:
            await asyncio.to_thread(self.processes[name].kill)

    async def started(self, *names: str) -> None:
        """Start them again."""
        await asyncio.gather(*(asyncio.to_thread(self.processes[name].start) for name in names))


@asynccontextmanager
async def stage(
    rules: Mapping[str, Any], settings: Mapping[str, str] = _QUICK, disk: Path | None = None
) -> AsyncIterator[Stage]:
    """Everything runs with these settings, and orders come; gone afterwards. The primary has its data on the disk."""
    async with AsyncExitStack() as stack:
        folder, spare = (_folder(stack, name) for name in ("firing", "standby"))
        disks = [disk, spare] if disk else []
        primary, standby = stack.enter_context(postgres_cluster(disks=disks))
        broker = KafkaNode(1, folder / "kafka", java_options=("-Xmx512m", *FEW_THREADS))
        stack.callback(broker.kill)
        broker.configure(broker.voter, ALONE)
        await asyncio.to_thread(broker.format, new_cluster_id())
        await asyncio.to_thread(broker.start)
        kafka = KafkaSettings(bootstrap_servers=f"{broker.host}:{broker.port}", prefix=f"{uuid.uuid4().hex[:8]}.")
        await create_topics(kafka, TOPICS)
        gateway = RealGateway()
        gateway.start()
        stack.callback(gateway.stop)
        environment = {**await _environment(primary, kafka, gateway), **settings}
        processes = {name: OrderProcess(folder, environment, "serve", *how) for name, how in _PROCESSES.items()}
        for process in processes.values():
            stack.callback(process.kill)
        watching = stack.enter_context(prometheus(folder, [process.port for process in processes.values()], rules))
        on_stage = Stage(primary, standby, broker, kafka, gateway, processes, watching, environment)
        await on_stage.started(*processes)
        await put_products(processes["inventory"].url)
        await watching.until_it_answers()
        async with _orders(on_stage):
            yield on_stage


def _folder(stack: AsyncExitStack, name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"oms-{name}-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


async def _environment(primary: Node, kafka: KafkaSettings, gateway: RealGateway) -> dict[str, str]:
    databases = {}
    for name, service in SERVICES.items():
        await asyncio.to_thread(primary.execute, f"create database {name}_service")
        databases[f"{name.upper()}_DATABASE_URL"] = dsn = primary.dsn(f"{name}_service")
        await migrate(dsn, service.migrations)
    return databases | {
        "EVENT_PUBLISHER": "kafka",
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_PREFIX": kafka.prefix,
        "PAYMENT_GATEWAY": gateway.url,
    }


@asynccontextmanager
async def _orders(on: Stage) -> AsyncIterator[None]:
    stop = asyncio.Event()
    load = asyncio.create_task(Load.nothing().run(on.url, stop, clients=_CLIENTS, pause=_PAUSE))
    try:
        yield
    finally:
        stop.set()
        await load
