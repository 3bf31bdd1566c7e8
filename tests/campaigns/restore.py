"""The database of the order service is restored to a moment before, while those of its partners go on: what becomes of
the orders that were under way, and of those that are lost."""

import asyncio
import shutil
import signal
import tempfile
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import create_topics
from messaging.runtime.migrations import migrate
from oms.services import SERVICES, TOPICS
from tests.campaigns.customers import Customers
from tests.real_parts.kafka import Broker, free_port
from tests.real_parts.order_process import OrderProcess
from tests.real_parts.postgres_cluster import Node, postgres_cluster
from tests.real_parts.query import rows

_ANSWERS = ("inventory-events", "payment-events")
_MARGIN = 60.0
_BEFORE, _AFTER = 300, 100
_STOPS_WITHIN = _SETTLES_WITHIN = 120.0
_UNDER_WAY = "select id from orders where status in ('PENDING', 'CANCELLING')"
_HELD = "select count(*) from reservations where status = 'RESERVED' and order_id = any($1::uuid[])"
_PAID = "select count(*) from payments where status = 'CAPTURED' and order_id = any($1::uuid[])"


@dataclass(frozen=True, slots=True)
class Restored:
    """Orders, and seconds. `held` and `paid` are lost orders that partners still have stock or money for at the end."""

    accepted: int
    lost: int
    listed: int
    held: int
    paid: int
    under_way: int
    ended: dict[str, int]
    restore: float
    without_orders: float
    until_all_ended: float


@dataclass(slots=True)
class _Installation:
    """The three services; the orders' database is on a server of its own, whose log is archived."""

    folder: Path
    primary: Node
    partners: Node
    environment: dict[str, str]
    kafka: KafkaSettings

    def process(self, service: str, orders: Node) -> OrderProcess:
        urls = {f"{name.upper()}_DATABASE_URL": self.partners.dsn(f"{name}_service") for name in SERVICES}
        urls["ORDER_DATABASE_URL"] = orders.dsn("order_service")
        return OrderProcess(self.folder, self.environment | urls, "serve", service)

    @property
    def archive(self) -> Path:
        return self.primary.data.parent / "archive"


async def restore(broker: Broker, *, offsets_set_back: bool) -> Restored:
    """One round. With `offsets_set_back` the group reads the answers since the backup again."""
    with ExitStack() as stack:
        (primary,) = stack.enter_context(postgres_cluster(standbys=0))
        (partners,) = stack.enter_context(postgres_cluster(standbys=0))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shop = await _installation(folder, primary, partners, broker)
        _archive(shop)
        processes = {name: shop.process(name, primary) for name in SERVICES}
        await asyncio.gather(*(asyncio.to_thread(stack.enter_context, one) for one in processes.values()))
        await _sell(processes["inventory"].url)

        customers, stop = Customers(), asyncio.Event()
        ordering = asyncio.create_task(customers.order(processes["order"].url, stop))
        await customers.until_accepted(_BEFORE)
        restored = _base_backup(shop)
        stack.callback(restored.kill)
        await customers.until_accepted(_BEFORE)
        moment = primary.execute("select clock_timestamp()")
        restored_to = time.time()
        await customers.until_accepted(_AFTER)
        primary.execute("select pg_switch_wal()")
        stop.set()
        await ordering
        await asyncio.to_thread(primary.kill)

        lost_at = time.monotonic()
        processes["order"].send(signal.SIGTERM)  # so that it leaves its group
        await asyncio.to_thread(processes["order"].wait, _STOPS_WITHIN)
        await asyncio.to_thread(_recover, shop, restored, moment)
        recovered_at = time.monotonic()
        stored = {str(row["id"]) for row in await _rows(restored, "order_service", "select id from orders")}
        under_way = [row["id"] for row in await _rows(restored, "order_service", _UNDER_WAY)]
        lost = [uuid.UUID(one) for one in customers.accepted if one not in stored]
        if offsets_set_back:
            await _set_back(shop.kafka, restored_to - _MARGIN)
        again = shop.process("order", restored)
        await asyncio.to_thread(stack.enter_context, again)
        await _one_order(again.url)
        taken_at = time.monotonic()
        ended = await _ended(restored, under_way)
        ended_at = time.monotonic()
        held, paid = await _left(partners, lost)
        (listed,) = await _rows(restored, "order_service", "select count(*) from unknown_orders")
        return Restored(
            accepted=len(customers.accepted),
            lost=len(lost),
            listed=listed["count"],
            held=held,
            paid=paid,
            under_way=len(under_way),
            ended=ended,
            restore=recovered_at - lost_at,
            without_orders=taken_at - lost_at,
            until_all_ended=ended_at - lost_at,
        )


async def _installation(folder: Path, primary: Node, partners: Node, broker: Broker) -> _Installation:
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, prefix=f"{uuid.uuid4().hex[:8]}.")
    await create_topics(kafka, TOPICS)
    for name, service in SERVICES.items():
        server = primary if name == "order" else partners
        server.execute(f"create database {name}_service")
        await migrate(server.dsn(f"{name}_service"), service.migrations)
    environment = {
        "EVENT_PUBLISHER": "kafka",
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "KAFKA_PREFIX": kafka.prefix,
        "SIMULATED_DELAY_SECONDS": "1",  # so that orders are under way at any moment
    }
    return _Installation(folder, primary, partners, environment, kafka)


def _archive(shop: _Installation) -> None:
    shop.archive.mkdir()
    if shop.primary.programs.user:
        shutil.chown(shop.archive, *shop.primary.programs.user)
    shop.primary.execute("alter system set archive_mode = on")
    shop.primary.execute(f"alter system set archive_command = 'cp %p {shop.archive}/%f'")
    shop.primary.stop()
    shop.primary.start()


def _base_backup(shop: _Installation) -> Node:
    restored = Node(shop.primary.programs, shop.primary.data.parent / "restored", free_port())
    shop.primary.copy_to(restored)
    return restored


def _recover(shop: _Installation, restored: Node, moment: str) -> None:
    with (restored.data / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            f"restore_command = 'cp {shop.archive}/%f %p'\nrecovery_target_time = '{moment}'\n"
            "recovery_target_action = promote\narchive_mode = off\n"
        )
    (restored.data / "recovery.signal").touch()
    restored.start()
    while restored.execute("select pg_is_in_recovery()") == "t":
        time.sleep(0.05)


async def _set_back(kafka: KafkaSettings, to: float) -> None:
    """What `kafka-consumer-groups.sh --reset-offsets --to-datetime` does."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, group_id=f"{kafka.prefix}order-service", enable_auto_commit=False
    )
    await consumer.start()
    try:
        topics = [f"{kafka.prefix}{topic}" for topic in _ANSWERS]
        partitions = [TopicPartition(topic, number) for topic in topics for number in range(4)]
        consumer.assign(partitions)
        found = await consumer.offsets_for_times({partition: int(to * 1000) for partition in partitions})
        ends = await consumer.end_offsets(partitions)
        await consumer.commit({one: at.offset if (at := found[one]) else ends[one] for one in partitions})
    finally:
        await consumer.stop()


async def _sell(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        body = {"price": {"amount": "12.50", "currency": "EUR"}, "onHand": 1_000_000}
        (await client.put("/products/p1", json=body)).raise_for_status()


async def _one_order(url: str) -> None:
    customers, stop = Customers(), asyncio.Event()
    ordering = asyncio.create_task(customers.order(url, stop, clients=1))
    await customers.until_accepted(1)
    stop.set()
    await ordering


async def _ended(server: Node, orders: list[Any]) -> dict[str, int]:
    query = "select status, count(*) from orders where id = any($1::uuid[]) group by status"
    async with asyncio.timeout(_SETTLES_WITHIN):
        while True:
            statuses = Counter(
                {row["status"]: row["count"] for row in await _rows(server, "order_service", query, orders)}
            )
            if not {"PENDING", "CANCELLING"} & set(statuses):
                return dict(statuses)
            await asyncio.sleep(0.1)


async def _left(partners: Node, lost: list[uuid.UUID]) -> tuple[int, int]:
    """Wait a while until partners hold nothing for orders that are lost; answers what they still hold."""
    deadline = time.monotonic() + 30
    while True:
        (held,) = await _rows(partners, "inventory_service", _HELD, lost)
        (paid,) = await _rows(partners, "payment_service", _PAID, lost)
        if held["count"] + paid["count"] == 0 or time.monotonic() > deadline:
            return held["count"], paid["count"]
        await asyncio.sleep(0.2)


async def _rows(server: Node, database: str, query: str, *arguments: object) -> list[Any]:
    return await rows(server.dsn(database), query, *arguments)
