"""`python -m oms.healthcheck`, which an image runs in its container."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.real_parts.authority import LOOPBACK, Authority
from tests.real_parts.kafka import free_port
from tests.real_parts.order_process import OrderProcess
from tests.wire.https_process import HttpsProcess

IN_MEMORY = {"ORDER_DATABASE_URL": "memory", "EVENT_PUBLISHER": "logging"}
API = ("serve", "order", "--roles", "api")


async def _checked(environment: dict[str, str]) -> tuple[int | None, str]:
    """The exit status, and what it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "oms.healthcheck"), env=os.environ | environment, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_a_process_is_healthy_while_it_answers(tmp_path: Path, secure: bool) -> None:
    port = free_port()
    if secure:
        server = Authority(tmp_path).issue("server", *LOOPBACK)
        process: OrderProcess = HttpsProcess(tmp_path, server, IN_MEMORY, *API)
        port = process.metrics_port  # type: ignore[attr-defined]
    else:
        process = OrderProcess(tmp_path, IN_MEMORY | {"METRICS_PORT": str(port)}, *API)
    environment = {"METRICS_PORT": str(port)} | ({"HTTP_TLS_CERTFILE": "server.crt"} if secure else {})
    with process:
        assert await _checked(environment) == (0, "")
        process.kill()
        status, said = await _checked(environment)

    assert status == 1
    assert said.startswith(f"http{'s' * secure}://127.0.0.1:{port}/health/live does not answer with 200:")
