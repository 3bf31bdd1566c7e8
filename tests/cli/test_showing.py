"""Showing events is no part of delivering them, and logging is no part of working."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import pytest

from tests.real_parts.kafka import free_port
from tests.real_parts.order_process import ORDER, OURS

DEADLINE = 120.0
AT_ONCE = 10
MORE_THAN_A_PIPE_HOLDS = 100
"""Orders. Each shows four events of some 400 bytes, and a pipe holds 64 KiB."""


@contextmanager
def up(
    folder: Path, *, stdout: int | IO[bytes], stderr: int | IO[bytes]
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """`oms up`, in memory: its address and its process. It ends in order when it is told to."""
    port = free_port()
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    memory = {f"{service}_DATABASE_URL": "memory" for service in ("ORDER", "INVENTORY", "PAYMENT")}
    process = subprocess.Popen(
        [sys.executable, "-m", "oms", "up", "--events", "--port", str(port)],
        env=inherited | memory | {"LOG_LEVEL": "debug", "PYTHONIOENCODING": "ascii"},
        cwd=folder,
        stdout=stdout,
        stderr=stderr,
    )
    try:
        yield f"http://127.0.0.1:{port}", process
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()


async def confirmed(url: str, orders: int) -> None:
    """Place orders, and wait until they are CONFIRMED."""

    async def place(client: httpx.AsyncClient) -> None:
        order = (await client.post("/orders", json=ORDER | {"customerId": "Käthe"})).json()["orderId"]
        status = None
        while status != "CONFIRMED":
            status = (await client.get(f"/orders/{order}", headers={"Prefer": "wait=30"})).json()["status"]

    async with asyncio.timeout(DEADLINE), httpx.AsyncClient(base_url=url, timeout=DEADLINE) as client:
        while True:
            try:
                await client.get("/health/live")
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.1)
        for _ in range(0, orders, AT_ONCE):
            await asyncio.gather(*(place(client) for _ in range(AT_ONCE)))


@pytest.mark.parametrize("what", ["the events", "the events and the log"])
async def test_a_reader_that_goes_away_stops_nothing(tmp_path: Path, what: str) -> None:
    both = what == "the events and the log"
    with (
        (tmp_path / "log").open("wb") as log,
        up(tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT if both else log) as (url, process),
    ):
        await confirmed(url, AT_ONCE)
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        process.stdout.close()
        await confirmed(url, AT_ONCE)
    assert b"Traceback" not in (tmp_path / "log").read_bytes()


async def test_a_terminal_that_stands_still_holds_up_nothing(tmp_path: Path) -> None:
    with (
        (tmp_path / "log").open("wb") as log,
        up(tmp_path, stdout=subprocess.PIPE, stderr=log) as (url, process),
    ):
        await confirmed(url, MORE_THAN_A_PIPE_HOLDS)
    assert process.stdout is not None
    process.stdout.close()


async def test_events_are_shown_in_any_encoding_and_all_of_them_before_the_end(tmp_path: Path) -> None:
    with (
        (tmp_path / "log").open("wb") as log,
        (tmp_path / "shown").open("wb") as shown,
        up(tmp_path, stdout=shown, stderr=log) as (url, _),
    ):
        await confirmed(url, AT_ONCE)

    lines = (tmp_path / "shown").read_text("ascii").splitlines()
    assert sum("OrderCreatedEvent" in line and "K\\xe4the" in line for line in lines) == AT_ONCE
    assert sum("OrderConfirmedEvent" in line for line in lines) == AT_ONCE


def test_standard_streams_may_be_closed(tmp_path: Path) -> None:
    command = f"exec '{sys.executable}' -m oms parked list 1>&- 2>&-"
    ended = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, env={"DATA_DIR": "none"}, timeout=DEADLINE, check=False
    )

    assert ended.returncode == 1
