"""The whole system under load: three services over Kafka, each in a process of its own, or all in one process."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import httpx

from benchmarks.database import connected
from benchmarks.environment import Environment
from benchmarks.processes import Service, Start, all_in_one, running, service
from benchmarks.waiting import until
from oms.services import SERVICES

ALL_ROLES = "api,relay,consumer"
TOGETHER: Mapping[str, str] = {"order service": ALL_ROLES}
NOTHING: Mapping[str, str] = {}
APART: Mapping[str, str] = {"order api": "api", "order relay": "relay", "order consumer": "consumer"}

# Every order wants two pieces of it. It never runs out, and it costs less than the simulated gateway's limit.
_PRODUCT = {"price": {"amount": "12.50", "currency": "EUR"}, "onHand": 100_000_000}
_ORDER = {"items": [{"productId": "p1", "quantity": 2}]}
_STARTS_WITHIN = 60.0
_CONFIRMED = "select count(*) from orders where status = 'CONFIRMED'"


@dataclass(frozen=True, slots=True)
class Installation:
    """A system that runs. `processes` are the services' by what the table calls them; orders are posted to the first of
    them. `part` is what its topics are told apart by."""

    processes: Mapping[str, Service]
    order_dsn: str
    part: str

    @property
    def api(self) -> Service:
        """Where orders are posted to."""
        return next(iter(self.processes.values()))


@asynccontextmanager
async def three_services(
    environment: Environment, order_processes: Mapping[str, str] = TOGETHER
) -> AsyncIterator[Installation]:
    """The order service as one process or more, each with its roles, the inventory and the payment service; fresh
    databases, fresh topics."""
    async with running_installation(await plan_three_services(environment, order_processes)) as installation:
        yield installation


@asynccontextmanager
async def one_process(environment: Environment) -> AsyncIterator[Installation]:
    """`oms up` on fresh databases: messages travel within the process."""
    async with running_installation(await plan_one_process(environment)) as installation:
        yield installation


@asynccontextmanager
async def running_installation(planned: "Planned", products: int = 1) -> AsyncIterator[Installation]:
    """A planned system that has confirmed an order, with so many products on sale."""
    async with started(planned) as installation:
        await confirm_one_order(installation, products)
        yield installation


@dataclass(frozen=True, slots=True)
class Planned:
    """A system with its databases and topics, which can be started more than once."""

    starts: Mapping[str, Start]
    databases: Mapping[str, str]
    part: str

    @property
    def order_dsn(self) -> str:
        """The database of the order service."""
        return self.databases["order"]


async def plan_three_services(
    environment: Environment, order_processes: Mapping[str, str] = TOGETHER, more: Mapping[str, str] = NOTHING
) -> Planned:
    """See `three_services`. `more` are further settings of every service."""
    part = f"{uuid4().hex[:8]}."
    await environment.create_topics(part)
    databases = await _databases(environment)
    settings = {**environment.kafka_settings(part), **_urls(databases), **more}
    starts = {
        **{name: service("order", roles, settings) for name, roles in order_processes.items()},
        "inventory service": service("inventory", ALL_ROLES, settings),
        "payment service": service("payment", ALL_ROLES, settings),
    }
    return Planned(starts, databases, part)


async def plan_one_process(environment: Environment, more: Mapping[str, str] = NOTHING) -> Planned:
    """See `one_process`. `more` are further settings."""
    databases = await _databases(environment)
    return Planned({"oms up": all_in_one({**_urls(databases), **more})}, databases, part="")


@asynccontextmanager
async def started(planned: Planned) -> AsyncIterator[Installation]:
    """Start all processes at once, and stop them on leaving."""
    async with AsyncExitStack() as stack:
        async with asyncio.TaskGroup() as group:
            tasks = {
                name: group.create_task(stack.enter_async_context(running(start)))
                for name, start in planned.starts.items()
            }
        processes = {name: task.result() for name, task in tasks.items()}
        yield Installation(processes, planned.order_dsn, planned.part)


async def _databases(environment: Environment) -> dict[str, str]:
    return {name: await environment.database.fresh(name, name) for name in SERVICES}


def _urls(databases: Mapping[str, str]) -> dict[str, str]:
    return {f"{name.upper()}_DATABASE_URL": dsn for name, dsn in databases.items()}


async def confirm_one_order(installation: Installation, products: int = 1) -> None:
    """Put the products on sale, and confirm one order. Relays own their shards and consumers their partitions once this
    returns."""
    inventory = installation.processes.get("inventory service", installation.api)
    async with httpx.AsyncClient(timeout=30) as http, connected(installation.order_dsn) as connection:
        for number in range(1, products + 1):
            (await http.put(f"{inventory.base_url}/products/p{number}", json=_PRODUCT)).raise_for_status()
        (await http.post(installation.api.url, json=_ORDER)).raise_for_status()

        async def confirmed() -> bool:
            return bool(await connection.fetchval(_CONFIRMED))

        await until(confirmed, "the first order is confirmed", within=_STARTS_WITHIN, every=0.1)
