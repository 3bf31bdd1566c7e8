"""The order service as its users run it: a process of its own, told what to do by its environment and by signals."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

import httpx

from tests.real_parts.kafka import free_port
from tests.real_parts.waiting import DEADLINE

ORDER = {"items": [{"productId": "p1", "quantity": 2}]}
RETRY_AFTER = 0.2
"""Customers who ask more often take the CPU from the process that starts again."""
OURS = (
    "KAFKA_",
    "ORDER_",
    "INVENTORY_",
    "PAYMENT_",
    "SIMULATED_",
    "STEP_",
    "EVENT_",
    "COMMIT_",
    "HTTP_",
    "RELAY_",
    "METRICS_",
    "OTEL_",
    "TRACE_",
    "AUTH",
    "RATE_",
    "REQUESTS_",
    "CELL",
)
"""What our settings' names begin with."""


class OrderProcess:
    """`oms serve order` (or another command) in its own process; killed, if need be, on leaving. As root it can run as
    another group, so that a firewall knows its packets."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *command: str,
        group: int | None = None,
        program: str = "oms",
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", program, *(command or ("serve", "order")), "--port", str(self.port)]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
        self.environment = inherited | {"LOG_FORMAT": "json", "DATA_DIR": str(folder / "data")} | dict(environment)
        self.group = group
        self._folder = folder
        self.log_file = folder / f"process-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it answers; raises AssertionError with its log when it does not."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                env=self.environment,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
                group=self.group,
            )
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"it ended at once:\n{self.log}"
            if self._answers():
                return
            time.sleep(0.05)
        raise AssertionError(f"it did not answer within {DEADLINE:.0f} s:\n{self.log}")

    def _answers(self) -> bool:
        # Not with httpx: a client costs tens of milliseconds of CPU, which the process that starts needs.
        connection = self.connection()
        try:
            connection.request("GET", "/health/live")
            connection.getresponse()
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
        return True

    def connection(self) -> HTTPConnection:
        """A connection that asks whether it lives."""
        return HTTPConnection("127.0.0.1", self.port, timeout=1)

    @property
    def log(self) -> str:
        """Everything it has printed."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    @property
    def pid(self) -> int:
        """Its process id, while it runs."""
        assert self.process is not None
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone. The embedded PostgreSQL, if it started one, lives on."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def wait(self, within: float) -> int:
        """Its exit code; raises AssertionError when it is still there after `within` seconds."""
        assert self.process is not None
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it is still running after {within:.0f} s:\n{self.log}") from None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            print(f"the end of what {self.url} logged:\n{self.log[-5000:]}")
        self.kill()


@dataclass(slots=True)
class Load:
    """Clients that place orders one after another, and remember what they were told."""

    accepted: list[str]
    refused: list[int]
    unanswered: int
    unexpected: list[str]

    @classmethod
    def nothing(cls) -> Self:
        """Before the first order."""
        return cls([], [], 0, [])

    async def run(
        self, url: str, stop: asyncio.Event, *, clients: int = 16, body: Any = None, pause: float = 0.0
    ) -> None:
        """Place orders until `stop` is set, with a pause of this many seconds after each. A 201 is a promise: its order
        id is kept in `accepted`."""
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:

            async def place() -> None:
                while not stop.is_set():
                    try:
                        response = await client.post("/orders", json=body or ORDER)
                    except httpx.HTTPError:
                        self.unanswered += 1
                        await asyncio.sleep(RETRY_AFTER)
                        continue
                    if response.status_code == 201:
                        self.accepted.append(response.json()["orderId"])
                        await asyncio.sleep(pause)
                    elif response.status_code == 503:
                        self.refused.append(503)
                        await asyncio.sleep(RETRY_AFTER)
                    else:
                        self.unexpected.append(f"{response.status_code} {response.text}")

            await asyncio.gather(*(place() for _ in range(clients)))

    async def until_accepted(self, count: int, within: float = 60.0) -> None:
        """Wait until this many orders were accepted."""
        try:
            async with asyncio.timeout(within):
                while len(self.accepted) < count:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(
                f"waited {within:.0f} s for {count} orders: {len(self.accepted)} accepted, "
                f"{len(self.refused)} refused, {self.unanswered} unanswered, unexpected: {self.unexpected[:3]}"
            ) from None
