"""The measured parties, each a process of its own that serves HTTP on a free port."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.waiting import until
from tests.real_parts.kafka_node import free_port

_STARTS_WITHIN = 60.0
_STOPS_WITHIN = 15.0
# What is installed has its bytecode; a checkout has it from its first start on, unless Python may not write it.
_SETTINGS = (
    "PYTHONDONTWRITEBYTECODE",
    "ORDER_", "INVENTORY_", "PAYMENT_", "SIMULATED_", "STEP_", "KAFKA_", "EVENT_", "COMMIT_", "RELAY_", "LOG_", "DATA_",
    "OTEL_", "AUTH", "RATE_", "REQUESTS_",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Service:
    """A process that listens on `port` of this machine."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        """Where orders are posted to."""
        return f"{self.base_url}/orders"

    @property
    def base_url(self) -> str:
        """Where everything else is."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Start:
    """How to start one: the command without its port, and its environment variables. With a `port` the command is
    whole, and listens there."""

    command: tuple[str, ...]
    settings: dict[str, str]
    port: int | None = None


def order_service(roles: str, settings: Mapping[str, str]) -> Start:
    """`oms serve order` with these roles; what is not in `settings` has its default."""
    return service("order", roles, settings)


def service(name: str, roles: str, settings: Mapping[str, str]) -> Start:
    """`oms serve` with these roles; what is not in `settings` has its default."""
    return Start((sys.executable, "-m", "oms", "serve", name, "--roles", roles), dict(settings))


def all_in_one(settings: Mapping[str, str]) -> Start:
    """`oms up` without showing events; what is not in `settings` has its default."""
    return Start((sys.executable, "-m", "oms", "up", "--quiet"), dict(settings))


def uvicorn_service(module: str, settings: Mapping[str, str]) -> Start:
    """One uvicorn worker with the same loop, parser and headers as the order service's."""
    options = "--loop uvloop --http httptools --no-access-log --log-level warning --no-server-header --no-proxy-headers"
    return Start((sys.executable, "-m", "uvicorn", f"{module}:app", *options.split()), dict(settings))


@asynccontextmanager
async def running(start: Start) -> AsyncIterator[Service]:
    """Start it, wait until it listens, and stop it on leaving. Raises RuntimeError with what it said when it ends."""
    port = start.port or free_port()
    command = start.command if start.port else (*start.command, "--port", str(port))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    with tempfile.TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment | start.settings, stdout=output, stderr=output
        )
        try:

            async def started() -> bool:
                if process.returncode is not None:
                    output.seek(0)
                    raise RuntimeError(f"{' '.join(start.command)} ended:\n{output.read().decode(errors='replace')}")
                return await _listens(port)

            await until(started, f"{' '.join(start.command)} listens", within=_STARTS_WITHIN)
            yield Service(process.pid, port)
        finally:
            await _stop(process)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOPS_WITHIN):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
