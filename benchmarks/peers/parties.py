"""The systems that are compared, each with its databases, and started as often as is asked."""

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from uuid import uuid4

import httpx

from benchmarks.database import connected
from benchmarks.environment import Environment
from benchmarks.installation import Installation, Planned, confirm_one_order, plan_one_process, plan_three_services
from benchmarks.order_client import Dialect, our_dialect
from benchmarks.processes import Start
from benchmarks.waiting import until
from tests.real_parts.kafka_node import free_port

TOOLS: Final = Path(".venv/peers")
"""Where `make peers` puts the engines: a Python environment, and the packages of npm."""

_PYTHON = TOOLS / "bin" / "python"
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
    """A system that was planned. After its first start it has to be prepared once. What its table of orders has are
    those that a first step has seen."""

    planned: Planned
    prepare: Callable[[Installation], Awaitable[None]]
    dialect: Callable[[], Dialect] = our_dialect


async def oms_up(environment: Environment, folder: Path) -> Party:
    """All of ours in one process."""
    return Party(await plan_one_process(environment, {"DATA_DIR": str(folder)}), confirm_one_order)


async def three_services(environment: Environment, folder: Path) -> Party:
    """All of ours over Kafka, each service in a process of its own."""
    more = {"DATA_DIR": str(folder), "KAFKA_GROUP_INSTANCE_ID": "bench"}
    return Party(await plan_three_services(environment, more=more), confirm_one_order)


async def dbos(environment: Environment, folder: Path) -> Party:  # noqa: ARG001  its data is in PostgreSQL
    """DBOS in one process of FastAPI."""
    dsn, system_dsn = await _shop(environment), await environment.database.empty("dbos")
    options = "--loop uvloop --http httptools --no-access-log --log-level warning"
    command = (str(_PYTHON), "-m", "uvicorn", "benchmarks.peers.dbos_service:app", *options.split())
    start = Start(command, {"DATABASE_URL": dsn, "SYSTEM_DATABASE_URL": system_dsn})
    return Party(Planned({"DBOS": start}, {"order": dsn}, part=""), _nothing)


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
    server = Start((str(_restate_servers()[0]), "--no-logo", "--node-name", "bench"), settings, port=ingress)
    options = ("--bind", f"127.0.0.1:{endpoint}", "--worker-class", "uvloop", "--workers", "0")
    command = (str(_PYTHON), "-m", "hypercorn", "benchmarks.peers.restate_service:app", *options)
    starts = {"Restate's server": server, "Restate's steps": Start(command, {"DATABASE_URL": dsn}, port=endpoint)}

    async def prepare(_: Installation) -> None:
        await _register(admin, f"http://127.0.0.1:{endpoint}")

    return Party(Planned(starts, {"order": dsn}, part=""), prepare, _restate_dialect)


PLANNED_BY: Final[Mapping[System, Callable[[Environment, Path], Awaitable[Party]]]] = {
    System.OMS_UP: oms_up,
    System.THREE_SERVICES: three_services,
    System.RESTATE: restate,
    System.DBOS: dbos,
}
"""How each is planned. The folder is for data that is not in PostgreSQL or in Kafka."""


def missing() -> dict[System, str]:
    """Why an engine cannot be started."""
    gone = {System.DBOS: not _PYTHON.exists(), System.RESTATE: not _PYTHON.exists() or not _restate_servers()}
    return {system: f"it is not in {TOOLS}: make peers installs it" for system, is_gone in gone.items() if is_gone}


def versions() -> str:
    """The engines that `make peers` installs, as a line of the facts."""
    lock, packages = (Path(__file__).with_name(name).read_text() for name in ("requirements.lock", "package.json"))
    dbos_is, sdk = (re.findall(rf"^{name}==(\S+)", lock, flags=re.MULTILINE)[0] for name in ("dbos", "restate-sdk"))
    (server,) = json.loads(packages)["dependencies"].values()
    return f"- engines: DBOS {dbos_is}; Restate {server} with its SDK {sdk}"


async def _nothing(_: Installation) -> None:
    """It takes orders as soon as it listens."""


async def _shop(environment: Environment) -> str:
    dsn = await environment.database.empty("shop")
    async with connected(dsn) as connection:
        await connection.execute(_SHOP.read_text())
    return dsn


def _restate_servers() -> list[Path]:
    """The program itself, because the script of the package starts it as a child."""
    return sorted(TOOLS.glob("node_modules/@restatedev/restate-server-*/bin/restate-server"))


async def _register(admin: int, endpoint: str) -> None:
    """Tell the server where the steps are, which it remembers."""
    async with httpx.AsyncClient(timeout=10.0) as http:

        async def registered() -> bool:
            try:
                return (await http.post(f"http://127.0.0.1:{admin}/deployments", json={"uri": endpoint})).is_success
            except httpx.TransportError:
                return False

        await until(registered, "Restate's server knows where the steps are", within=_REGISTERED_WITHIN, every=0.1)


def _restate_dialect() -> Dialect:
    def requests() -> Iterator[tuple[bytes, str]]:
        while True:
            order_id = str(uuid4())
            yield json.dumps({"orderId": order_id, "items": [{"productId": "p1", "quantity": 2}]}).encode(), order_id

    return Dialect("/Orders/fulfil/send", requests(), 202, re.compile(rb'"status":"Accepted"\}\Z'))
