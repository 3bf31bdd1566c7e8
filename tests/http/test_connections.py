"""Connections of clients: how long one stays open that nobody uses."""

import asyncio
from pathlib import Path

import pytest

from messaging.runtime.settings import ServiceSettings
from tests.real_parts.order_process import OrderProcess
from tests.real_parts.waiting import DEADLINE

LONGEST_OF_LOAD_BALANCERS = 60


def test_an_idle_connection_stays_open_for_longer_than_a_load_balancer_keeps_it() -> None:
    assert ServiceSettings().http_keep_alive_seconds > LONGEST_OF_LOAD_BALANCERS


async def test_an_idle_connection_is_closed_after_the_seconds_that_are_set(tmp_path: Path) -> None:
    environment = {"ORDER_DATABASE_URL": "memory", "EVENT_PUBLISHER": "logging", "HTTP_KEEP_ALIVE_SECONDS": "1"}
    with OrderProcess(tmp_path, environment) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: orders\r\n\r\n")
        async with asyncio.timeout(DEADLINE):
            answers = await reader.read()
        writer.close()

    assert answers.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("pipelined", [1, 3])
async def test_a_client_that_ends_its_side_after_its_requests_reads_every_answer(
    tmp_path: Path, pipelined: int
) -> None:
    with OrderProcess(tmp_path, {"ORDER_DATABASE_URL": "memory", "EVENT_PUBLISHER": "logging"}) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: orders\r\n\r\n" * pipelined)
        writer.write_eof()
        async with asyncio.timeout(DEADLINE):
            answers = await reader.read()
        writer.close()

    assert answers.count(b"HTTP/1.1 200 OK\r\n") == pipelined
