"""HTTPS, with and without certificates of clients, as a real process speaks it."""

import asyncio
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from messaging.engine.tls import server_context
from oms import process
from oms.cli import app
from tests.real_parts.authority import LOOPBACK, Authority, Files
from tests.real_parts.order_process import ORDER
from tests.wire.https_process import HttpsProcess, https_client

IN_MEMORY = {"ORDER_DATABASE_URL": "memory", "EVENT_PUBLISHER": "logging"}
STATUS = {f"{service}_DATABASE_URL": "memory" for service in ("ORDER", "INVENTORY", "PAYMENT")} | {"COLUMNS": "200"}
STOPS_WITHIN = 30.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Files:
    return authority.issue("server", *LOOPBACK)


@pytest.fixture(scope="module")
def mutual(authority: Authority, server: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsProcess]:
    """A process whose clients need a certificate."""
    clients = {"HTTP_TLS_CLIENT_CAFILE": str(authority.ca)}
    with HttpsProcess(
        tmp_path_factory.mktemp("mutual"), server, IN_MEMORY | clients, "serve", "order", "--roles", "api"
    ) as process:
        yield process


async def test_a_client_with_a_certificate_places_an_order(mutual: HttpsProcess, authority: Authority) -> None:
    async with https_client(authority, authority.issue("shop")) as client:
        answer = await client.post(f"{mutual.url}/orders", json=ORDER)
    assert answer.status_code == 201


async def test_a_client_without_a_certificate_gets_no_answer(mutual: HttpsProcess, authority: Authority) -> None:
    async with https_client(authority) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"{mutual.url}/orders")


async def test_a_client_of_another_authority_gets_no_answer(
    mutual: HttpsProcess, authority: Authority, tmp_path: Path
) -> None:
    async with https_client(authority, Authority(tmp_path).issue("shop")) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"{mutual.url}/orders")


async def test_probes_and_metrics_come_without_a_certificate(mutual: HttpsProcess, authority: Authority) -> None:
    async with https_client(authority) as client:
        assert (await client.get(f"{mutual.metrics_url}/health/ready")).status_code == 200
        assert (await client.get(f"{mutual.metrics_url}/metrics")).status_code == 200


async def test_plain_http_gets_no_answer_and_no_line_of_the_log(mutual: HttpsProcess) -> None:
    before = mutual.log
    async with httpx.AsyncClient() as client:
        for port in (mutual.port, mutual.metrics_port):
            with pytest.raises(httpx.TransportError):
                await client.get(f"http://127.0.0.1:{port}/health/live")
    assert mutual.log == before


def test_a_command_says_whose_certificate_it_does_not_trust(
    mutual: HttpsProcess, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> str:
        return CliRunner().invoke(app, ["status", "--url", mutual.metrics_url], env=STATUS).output

    assert f"{mutual.metrics_url} does not answer: its certificate is not trusted (SSL_CERT_FILE names" in said()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    assert f"{mutual.metrics_url}  ready" in said()


async def test_refused_clients_leave_no_line_in_the_log(
    mutual: HttpsProcess, authority: Authority, tmp_path: Path
) -> None:
    before = mutual.log
    async with https_client(authority, Authority(tmp_path).issue("shop")) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"{mutual.url}/orders")
    assert mutual.log == before


async def test_a_client_that_does_not_finish_its_handshake_is_let_go(
    server: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "HANDSHAKE_SECONDS", 0.2)

    async def application(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("there is no request")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = process._Server(
            process.server_config(application, 75), [server_context(server.certificate, server.key)]
        )
        task = asyncio.create_task(serving.serve(sockets=[listening]))
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(b"\x16\x03\x01")  # how a handshake begins
        assert await reader.read() == b""
        writer.close()
        serving.should_exit = True
        await task


async def test_changed_certificates_are_used_without_a_restart(tmp_path: Path) -> None:
    old, new = (Authority(tmp_path, name) for name in ("old", "new"))
    server, renewed = old.issue("server", *LOOPBACK), new.issue("renewed", *LOOPBACK)
    shop = new.issue("shop")
    trusted = tmp_path / "clients.pem"
    shutil.copy(old.ca, trusted)
    https = HttpsProcess(
        tmp_path,
        server,
        IN_MEMORY | {"HTTP_TLS_CLIENT_CAFILE": str(trusted)},
        *("serve", "order", "--roles", "api"),
    )
    with https:
        async with https_client(old, old.issue("old-shop")) as open_since_before:
            assert (await open_since_before.get(f"{https.url}/orders")).status_code == 200

            shutil.copy(renewed.certificate, server.certificate)  # for a moment the key does not fit
            assert (await _answer(https, old, old.issue("old-shop"))) == 200, "the files before stay in use"
            shutil.copy(renewed.key, server.key)
            shutil.copy(new.ca, trusted)

            assert (await _answer(https, new, shop)) == 200
            with pytest.raises(httpx.TransportError):
                await _answer(https, new, old.issue("old-shop"))
            assert (await open_since_before.get(f"{https.url}/orders")).status_code == 200, "it stays open"
            assert "the changed files are not used" in https.log
            https.send(signal.SIGTERM)
            assert https.wait(STOPS_WITHIN) == 0, "an idle connection does not hold it up"


async def _answer(https: HttpsProcess, authority: Authority, client: Files) -> int:
    async with https_client(authority, client) as connection:
        return (await connection.get(f"{https.url}/orders")).status_code
