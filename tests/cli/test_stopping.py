"""SIGTERM: nothing new is taken, what is in flight is answered, and the exit code is 0."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.http.answers import assert_error
from tests.real_parts.order_process import ORDER, OrderProcess

DEADLINE = 30.0


@asynccontextmanager
async def _writers_wait(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("lock table orders in share mode")
    try:
        yield connection
    finally:
        await transaction.rollback()
        await connection.close()


async def _until_a_writer_waits(connection: asyncpg.Connection) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await connection.fetchval(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        ):
            await connection.execute("select pg_sleep(0.01), pg_stat_clear_snapshot()")


async def _until_nobody_listens(port: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) != 0:
                    return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_requests_in_flight_are_answered_before_the_process_ends(
    tmp_path: Path, database: str, number: signal.Signals
) -> None:
    environment = {"ORDER_DATABASE_URL": database, "EVENT_PUBLISHER": "logging"}
    with OrderProcess(tmp_path, environment) as service:
        async with httpx.AsyncClient(base_url=service.url, timeout=DEADLINE) as client:
            async with _writers_wait(database) as holder:
                in_flight = [asyncio.create_task(client.post("/orders", json=ORDER)) for _ in range(20)]
                await _until_a_writer_waits(holder)
                service.send(number)
                await _until_nobody_listens(service.port)
                await holder.execute("select pg_sleep(0.5)")  # well within the seconds that are left to requests
            answers = await asyncio.gather(*in_flight)
        code = await asyncio.to_thread(service.wait, 10)

    assert code == 0, service.log
    assert {answer.status_code for answer in answers} == {201}
    stored = await _stored(database)
    assert stored == {answer.json()["orderId"] for answer in answers}
    assert "Traceback" not in service.log


async def test_requests_that_are_held_get_the_order_as_it_is_at_once(tmp_path: Path) -> None:
    environment = {"ORDER_DATABASE_URL": "memory", "EVENT_PUBLISHER": "logging"}
    with OrderProcess(tmp_path, environment) as service:
        order_id = (await asyncio.to_thread(httpx.post, f"{service.url}/orders", json=ORDER)).json()["orderId"]
        request = f"GET /orders/{order_id} HTTP/1.1\r\nHost: oms\r\nPrefer: wait=30\r\n\r\n".encode()
        async with _sent(service, *[request] * 5) as connections:
            service.send(signal.SIGTERM)
            answers = [await connection.read() for connection in connections]
        code = await asyncio.to_thread(service.wait, 10)

    assert code == 0, service.log
    for answer in answers:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close" in head
        assert json.loads(body)["status"] == "PENDING"
    assert "Traceback" not in service.log


@asynccontextmanager
async def _sent(service: OrderProcess, *requests: bytes) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Each request on a connection of its own, and at the server."""
    connections = [await asyncio.open_connection("127.0.0.1", service.port) for _ in requests]
    try:
        for (_, writer), request in zip(connections, requests, strict=True):
            writer.write(request)
        await asyncio.to_thread(httpx.get, f"{service.url}/health/live")  # what was sent before has come by then
        async with asyncio.timeout(DEADLINE):
            yield [reader for reader, _ in connections]
    finally:
        for _, writer in connections:
            writer.close()


async def test_a_request_that_cannot_be_waited_for_is_told_so(tmp_path: Path, database: str) -> None:
    environment = {"ORDER_DATABASE_URL": database, "EVENT_PUBLISHER": "logging"}
    with OrderProcess(tmp_path, environment) as service:
        async with _writers_wait(database) as holder, httpx.AsyncClient(base_url=service.url) as client:
            in_flight = asyncio.create_task(client.post("/orders", json=ORDER, timeout=DEADLINE))
            await _until_a_writer_waits(holder)
            service.send(signal.SIGTERM)
            answer = await in_flight
        code = await asyncio.to_thread(service.wait, 10)

    assert code == 0, service.log
    assert_error(answer, 503, "Service unavailable")
    assert answer.headers["retry-after"] == "1"
    assert "Traceback" not in service.log


async def test_a_request_whose_body_does_not_come_does_not_keep_the_process(tmp_path: Path) -> None:
    environment = {"ORDER_DATABASE_URL": "memory", "EVENT_PUBLISHER": "logging"}
    with OrderProcess(tmp_path, environment) as service:
        part = b"POST /orders HTTP/1.1\r\nHost: oms\r\nContent-Length: 100\r\n\r\n{"
        async with _sent(service, part) as (connection,):
            service.send(signal.SIGTERM)
            answer = await connection.read()
        code = await asyncio.to_thread(service.wait, 10)

    assert code == 0, service.log
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert "Traceback" not in service.log


async def _stored(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return {str(row["id"]) for row in await connection.fetch("select id from orders")}
    finally:
        await connection.close()


async def test_an_idle_process_ends_at_once_and_has_published_everything(tmp_path: Path) -> None:
    environment = {"ORDER_DATABASE_URL": "memory", "EVENT_PUBLISHER": "logging"}
    with OrderProcess(tmp_path, environment) as service:
        placed = [httpx.post(f"{service.url}/orders", json=ORDER).json()["orderId"] for _ in range(3)]
        async with asyncio.timeout(DEADLINE):
            while len(published := _published(service.log)) < 3:
                await asyncio.sleep(0.02)
        service.send(signal.SIGTERM)
        code = await asyncio.to_thread(service.wait, 10)

    assert code == 0, service.log
    assert sorted(published) == sorted(placed)
    assert "nothing survives a restart" in service.log


def _published(log: str) -> list[str]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line["key"] for line in lines if line.get("event") == "OrderCreatedEvent"]
