"""The systems that are compared, each with its databases, and started as often as is asked."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from uuid import uuid4

import httpx

from benchmarks.database import connected
from benchmarks.environment import Environment
from benchmarks.installation import Installation, Planned, confirm_one_order, plan_one_process, plan_three_services
from benchmarks.installation import started as ours_started
from benchmarks.order_client import Dialect, our_dialect
from benchmarks.processes import Start, free_port, running

TOOLS: Final = Path(".venv/peers")
"""Where `make peers` puts the engines: a Python environment, and the packages of npm."""

_PYTHON = TOOLS / "bin" / "python"
_RESTATE = TOOLS / "node_modules/.bin/restate-server"
_SHOP = Path(__file__).with_name("shop.sql")
_REGISTERED_WITHIN = 30.0


class System(StrEnum):
    """What is compared."""

    OMS_UP = "oms up"
    THREE_SERVICES = "three services over Kafka"
    RESTATE = "Restate"
    DBOS = "DBOS"


@dataclass(frozen=True, slots=True)
class Party:
    """A system that was planned, with its data. `start` waits until it takes orders. What `orders_dsn` has in its table
    of orders are those that its first step has seen."""

    order_dsn: str
    start: Callable[[], AbstractAsyncContextManager[Installation]]
    dialect: Callable[[], Dialect] = our_dialect


async def oms_up(environment: Environment, folder: Path) -> Party:
    """All of ours in one process."""
    return _ours(await plan_one_process(environment, {"DATA_DIR": str(folder)}))


async def three_services(environment: Environment, folder: Path) -> Party:
    """All of ours over Kafka, each service in a process of its own."""
    more = {"DATA_DIR": str(folder), "KAFKA_GROUP_INSTANCE_ID": "bench"}
    return _ours(await plan_three_services(environment, more=more))


async def dbos(environment: Environment, folder: Path) -> Party:  # noqa: ARG001  its data is in PostgreSQL
    """DBOS in one process of FastAPI."""
    dsn, system = await _shop(environment), await environment.database.empty("dbos")
    options = "--loop uvloop --http httptools --no-access-log --log-level warning"
    command = (str(_PYTHON), "-m", "uvicorn", "benchmarks.peers.dbos_service:app", *options.split())
    start = Start(command, {"DATABASE_URL": dsn, "SYSTEM_DATABASE_URL": system})

    @asynccontextmanager
    async def started() -> AsyncIterator[Installation]:
        async with running(start) as service:
            yield Installation({"DBOS": service}, dsn, part="")

    return Party(dsn, started)


async def restate(environment: Environment, folder: Path) -> Party:
    """Restate's server with its data in `folder`, and one process that runs the steps."""
    dsn = await _shop(environment)
    ingress, admin, node, endpoint = (free_port() for _ in range(4))
    settings = {
        "RESTATE_BASE_DIR": str(folder),
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_IP": "127.0.0.1",
        "RESTATE_BIND_PORT": str(node),
        "RESTATE_INGRESS__BIND_PORT": str(ingress),
        "RESTATE_ADMIN__BIND_PORT": str(admin),
        "RESTATE_LOG_FILTER": "error",
    }
    server = Start((str(_restate_server()), "--no-logo", "--node-name", "bench"), settings, port=ingress)
    options = ("--bind", f"127.0.0.1:{endpoint}", "--worker-class", "uvloop", "--workers", "0")
    command = (str(_PYTHON), "-m", "hypercorn", "benchmarks.peers.restate_service:app", *options)
    steps = Start(command, {"DATABASE_URL": dsn}, port=endpoint)

    @asynccontextmanager
    async def started() -> AsyncIterator[Installation]:
        async with AsyncExitStack() as stack:
            services = await asyncio.gather(*(stack.enter_async_context(running(one)) for one in (server, steps)))
            await _register(admin, f"http://127.0.0.1:{endpoint}")
            yield Installation(dict(zip(("Restate's server", "Restate's steps"), services, strict=True)), dsn, part="")

    return Party(dsn, started, _restate_dialect)


PLAN: Final[Mapping[System, Callable[[Environment, Path], Awaitable[Party]]]] = {
    System.OMS_UP: oms_up,
    System.THREE_SERVICES: three_services,
    System.RESTATE: restate,
    System.DBOS: dbos,
}
"""How each is planned. The folder is for data that is not in PostgreSQL or in Kafka."""


def missing() -> dict[System, str]:
    """Why an engine cannot be started."""
    engines = {System.DBOS: _PYTHON, System.RESTATE: _RESTATE}
    return {name: f"{path} is not there: make peers installs it" for name, path in engines.items() if not path.exists()}


def _ours(planned: Planned) -> Party:
    @asynccontextmanager
    async def started() -> AsyncIterator[Installation]:
        async with ours_started(planned) as installation:
            await confirm_one_order(installation)
            yield installation

    return Party(planned.order_dsn, started)


async def _shop(environment: Environment) -> str:
    dsn = await environment.database.empty("shop")
    async with connected(dsn) as connection:
        await connection.execute(_SHOP.read_text())
    return dsn


def _restate_server() -> Path:
    """The program itself, because the script of the package starts it as a child."""
    (program,) = TOOLS.glob("node_modules/@restatedev/restate-server-*/bin/restate-server")
    return program


async def _register(admin: int, endpoint: str) -> None:
    """Tell the server where the steps are. It knows that from before when it was started again."""
    async with asyncio.timeout(_REGISTERED_WITHIN), httpx.AsyncClient(timeout=10.0) as http:
        while True:
            try:
                answer = await http.post(f"http://127.0.0.1:{admin}/deployments", json={"uri": endpoint})
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.is_success:
                return
            await asyncio.sleep(0.05)


def _restate_dialect() -> Dialect:
    def requests() -> Iterator[tuple[bytes, str]]:
        while True:
            order_id = str(uuid4())
            yield json.dumps({"orderId": order_id, "items": [{"productId": "p1", "quantity": 2}]}).encode(), order_id

    return Dialect("/Orders/fulfil/send", requests(), re.compile(rb'"status":"Accepted"\}\Z'))
