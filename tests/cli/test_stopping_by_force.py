"""A process that was told to stop ends within a bound, whatever hangs in it."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.real_parts.kafka import free_port
from tests.real_parts.order_process import ORDER, OrderProcess
from tests.real_parts.stalling_proxy import stalling_proxy, through
from tests.real_parts.waiting import DEADLINE

_HANGS = """
import asyncio, os, signal, sys
from fastapi import FastAPI
from oms import process
from oms.environment import run

process.STOP_WITHIN_SECONDS = process.LOOP_ENDS_WITHIN_SECONDS = 1.0

async def hang_a_task():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue

async def main():
    async def serve():
        await process.serve_until_told(
            FastAPI(), process.listen("127.0.0.1", {port}), keep_alive_seconds=5, on_stop=lambda: None,
            on_started=lambda: os.kill(os.getpid(), signal.SIGTERM),
        )
    with process.stopping_within_bounds():
        try:
            await serve()
        finally:
            {hang}

run(main())
"""

HANGS = {
    "a coroutine": "await asyncio.get_running_loop().create_task(hang_a_task(), name='the part that hangs')",
    "the whole loop": "__import__('threading').Event().wait()",
    "a task that is left over": "asyncio.get_running_loop().create_task(hang_a_task()); await asyncio.sleep(0)",
}


@pytest.mark.parametrize("hang", HANGS.values(), ids=HANGS)
def test_what_hangs_is_ended_by_force_and_shown(tmp_path: Path, hang: str) -> None:
    code = _HANGS.format(port=free_port(), hang=hang)
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=False
    )

    assert ended.returncode == 1, ended.stderr
    assert "most recent call first" in ended.stderr
    if "the part that hangs" in hang:
        assert "about to be ended by force" in ended.stdout + ended.stderr
        assert "the part that hangs" in ended.stdout + ended.stderr


async def test_a_process_whose_database_and_broker_hang_stops_within_its_bound(tmp_path: Path, database: str) -> None:
    async with stalling_proxy(database) as its_database, stalling_proxy() as its_broker:
        environment = {
            "ORDER_DATABASE_URL": through(its_database, database),
            "EVENT_PUBLISHER": "kafka",
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{its_broker.port}",
        }
        service = OrderProcess(tmp_path, environment)
        try:
            await asyncio.to_thread(service.start)
            async with httpx.AsyncClient(base_url=service.url, timeout=DEADLINE) as client:
                assert (await client.post("/orders", json=ORDER)).status_code == 201
                its_database.hang()
                in_flight = [asyncio.create_task(client.post("/orders", json=ORDER)) for _ in range(10)]
                await asyncio.sleep(0.2)  # they are on their way; should one not be, the less hangs
                service.send(signal.SIGTERM)
                told = time.monotonic()
                code = await asyncio.to_thread(service.wait, DEADLINE)
                took = time.monotonic() - told
                answers = await asyncio.gather(*in_flight, return_exceptions=True)
        finally:
            service.kill()

    assert code in (0, 1), service.log
    assert took < 15 + 15, f"ten seconds, five for the loop, and what a busy machine takes:\n{service.log}"
    assert not [answer for answer in answers if isinstance(answer, httpx.Response) and answer.status_code == 201]
