"""The three services, each in a process of its own, over a real broker and a real database each; and their audit."""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import create_topics
from messaging.runtime.migrations import migrate
from oms.services import SERVICES, TOPICS
from tests.real_parts.kafka import Broker
from tests.real_parts.order_process import OrderProcess
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.query import rows

PRODUCTS = {"p1": ("12.50", 1_000_000), "p2": ("0.99", 1_000_000), "scarce": ("3.00", 10), "dear": ("2499.00", 1_000)}
SETTLED = ("CONFIRMED", "COMPLETED", "REJECTED", "CANCELLED")


@dataclass(slots=True)
class ThreeServices:
    """`processes` by service, with a name for each instance: the first of a service is called like the service."""

    databases: dict[str, str]
    kafka: KafkaSettings | None
    start_process: Callable[[str], OrderProcess]
    processes: dict[str, OrderProcess] = field(default_factory=dict)

    def start(self, service: str, instance: str | None = None) -> OrderProcess:
        """Start an instance of a service."""
        process = self.start_process(service)
        self.processes[instance or service] = process
        process.start()
        return process

    def kill(self, instance: str) -> None:
        """kill -9."""
        self.processes[instance].kill()

    def url(self, service: str) -> str:
        """Where the first instance of a service answers."""
        return self.processes.get(service, self.processes["order"]).url

    async def put_products(self) -> None:
        """Put PRODUCTS on sale."""
        await put_products(self.url("inventory"))

    async def until_settled(self, orders: int, within: float = 120.0) -> Counter[str]:
        """Wait until there are this many orders and none of them waits for anything; answers how many are in each
        status. Raises AssertionError with the statuses that there are instead."""
        statuses: Counter[str] = Counter()
        connection = await asyncpg.connect(self.databases["order"])
        try:
            async with asyncio.timeout(within):
                while sum(statuses.values()) < orders or set(statuses) - set(SETTLED):
                    rows = await connection.fetch("select status, count(*) from orders group by status")
                    statuses = Counter({row["status"]: row["count"] for row in rows})
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"{orders} orders did not settle within {within:.0f} s: {dict(statuses)}") from None
        finally:
            await connection.close()
        return statuses

    async def audit(self) -> "Audit":
        """Wait until every outbox is empty and nothing is parked, then read all three databases."""
        for service in self.databases:
            await self._until_quiet(service)
        orders = await self._rows(
            "order", "select id, status, stock_status, payment_status, total_minor, lines::text from orders"
        )
        products = await self._rows("inventory", "select id, on_hand, reserved from products")
        reservations = await self._rows("inventory", "select order_id, status, lines::text from reservations")
        payments = await self._rows("payment", "select order_id, status, amount_minor from payments")
        dead = 0
        for service in self.databases:
            (row,) = await self._rows(service, "select count(*) as dead from dead_letters")
            dead += row["dead"]
        return Audit(orders, products, reservations, payments, dead)

    async def _until_quiet(self, service: str, within: float = 60.0) -> None:
        waiting: Any = None
        try:
            async with asyncio.timeout(within):
                while waiting != (0, 0):
                    (row,) = await self._rows(
                        service, "select (select count(*) from outbox) as o, (select count(*) from parked) as p"
                    )
                    waiting = (row["o"], row["p"])
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"{service} still has {waiting} messages in outbox and parked") from None

    async def _rows(self, service: str, query: str) -> list[Any]:
        return await rows(self.databases[service], query)


@dataclass(frozen=True, slots=True)
class Audit:
    """What the three databases say when everything is quiet."""

    orders: list[Any]
    products: list[Any]
    reservations: list[Any]
    payments: list[Any]
    dead_letters: int

    def assert_sums_agree(self) -> None:
        """Stock: what is reserved is what confirmed orders want, what has shipped is what completed orders wanted.
        Money: captured minus refunded is the total of confirmed and completed orders."""
        by_id = {row["id"]: row for row in self.orders}
        wrong = [
            dict(row)
            for row in self.orders
            if row["status"] in ("CONFIRMED", "COMPLETED")
            and (row["payment_status"] != "CAPTURED" or row["stock_status"] not in ("RESERVED", "SHIPPED"))
        ]
        assert not wrong, f"confirmed without stock or payment: {wrong[:3]}"

        reserved, shipped = self._quantities("CONFIRMED"), self._quantities("COMPLETED")
        for product in self.products:
            name = product["id"]
            assert product["reserved"] == reserved[name], f"{name}: {product['reserved']} held, {reserved[name]} wanted"
            left = PRODUCTS[name][1] - shipped[name]
            assert product["on_hand"] == left, f"{name}: {product['on_hand']} on hand, {left} expected"
        held = {row["order_id"] for row in self.reservations if row["status"] == "RESERVED"}
        assert held == {row["id"] for row in self.orders if row["status"] == "CONFIRMED"}

        kept = {row["order_id"]: row["amount_minor"] for row in self.payments if row["status"] == "CAPTURED"}
        owed = {row["id"]: row["total_minor"] for row in self.orders if row["status"] in ("CONFIRMED", "COMPLETED")}
        assert kept == owed, f"captured {sum(kept.values())}, confirmed and completed {sum(owed.values())}"
        open_ends = {row["status"] for row in self.payments} - {"CAPTURED", "REFUNDED", "DECLINED"}
        assert not open_ends, f"payments that are not settled: {open_ends}"
        assert set(kept) <= set(by_id)
        assert self.dead_letters == 0

    def _quantities(self, status: str) -> Counter[str]:
        wanted: Counter[str] = Counter()
        for row in self.orders:
            if row["status"] == status:
                for line in json.loads(row["lines"]):
                    wanted[line["p"]] += line["q"]
        return wanted


async def put_products(url: str, prefix: str = "", headers: Mapping[str, str] | None = None) -> None:
    """Put PRODUCTS on sale at this inventory service, with a prefix before their names."""
    async with httpx.AsyncClient(base_url=url, timeout=30, headers=headers) as client:
        for product, (price, on_hand) in PRODUCTS.items():
            body = {"price": {"amount": price, "currency": "EUR"}, "onHand": on_hand}
            (await client.put(f"/products/{prefix}{product}", json=body)).raise_for_status()


@asynccontextmanager
async def three_services(
    broker: Broker, postgres: PostgresServer, folder: Path, *, replication: int = 1, **environment: str
) -> AsyncIterator[ThreeServices]:
    """A process each, started, over the broker, with PRODUCTS on sale; killed and gone afterwards."""
    prefix = f"{uuid.uuid4().hex[:8]}."
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, prefix=prefix)
    await create_topics(kafka, TOPICS, replication=replication)
    async with service_databases(postgres) as databases:
        whole = _environment(databases) | {
            "EVENT_PUBLISHER": "kafka",
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "KAFKA_PREFIX": prefix,
            "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
            **environment,
        }
        services = ThreeServices(databases, kafka, lambda name: OrderProcess(folder, whole, "serve", name))
        async with _started(services, list(SERVICES)):
            yield services


@asynccontextmanager
async def all_in_one(
    postgres: PostgresServer, folder: Path, *, tablespace: str = "pg_default", **environment: str
) -> AsyncIterator[ThreeServices]:
    """The same as one process without a broker, which stands for all three services."""
    async with service_databases(postgres, tablespace) as databases:
        whole = _environment(databases) | environment
        services = ThreeServices(
            databases, None, lambda _: OrderProcess(folder, whole, "up", "--quiet", "--no-samples")
        )
        async with _started(services, ["order"]):
            yield services


def _environment(databases: Mapping[str, str]) -> dict[str, str]:
    urls = {f"{name.upper()}_DATABASE_URL": dsn for name, dsn in databases.items()}
    return urls | {"RELAY_IDLE_TIMEOUT_SECONDS": "2"}


@asynccontextmanager
async def service_databases(
    postgres: PostgresServer, tablespace: str = "pg_default", *, migrated: bool = True
) -> AsyncIterator[dict[str, str]]:
    """The address of a database for each service; gone afterwards."""
    run = uuid.uuid4().hex[:8]
    databases: dict[str, str] = {}
    for name, service in SERVICES.items():
        await asyncio.to_thread(postgres.execute, f"create database {name}_{run} tablespace {tablespace}")
        databases[name] = postgres.dsn_of(f"{name}_{run}")
        if migrated:
            await migrate(databases[name], service.migrations)
    try:
        yield databases
    finally:
        for name in SERVICES:
            await asyncio.to_thread(postgres.execute, f"drop database {name}_{run} with (force)")


@asynccontextmanager
async def _started(services: ThreeServices, names: Sequence[str]) -> AsyncIterator[None]:
    """Started side by side; when the test fails, what they logged last is printed."""
    try:
        await asyncio.gather(*(asyncio.to_thread(services.start, name) for name in names))
        await services.put_products()
        yield
    except BaseException:
        for instance, process in services.processes.items():
            print(f"the end of what {instance} logged:\n{process.log[-3000:]}")
        raise
    finally:
        for process in services.processes.values():
            process.kill()
