"""The payment gateway over TLS, which knows us by a key and by a certificate."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from payment_service.application.ports import Captured, GatewayUnavailable
from payment_service.bootstrap import _open_gateway
from payment_service.settings import PaymentSettings
from shared_kernel.money import Money
from tests.real_parts.authority import LOOPBACK, Authority

AMOUNT = Money(100, "EUR")


@contextmanager
def gateway_with_tls(authority: Authority) -> Iterator[tuple[str, list[str]]]:
    """Its address, and the keys that callers showed."""
    keys: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            keys.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"reference": "r1"}')

        def log_message(self, *_: Any) -> None:
            """The keys say it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    files = authority.issue("gateway", *LOOPBACK)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.ca)
    context.load_cert_chain(files.certificate, files.key)
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}", keys
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_the_gateway_is_verified_and_knows_us_by_a_renewed_key_and_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    stranger = Authority(tmp_path, "stranger").issue("mine")
    key = tmp_path / "key"
    key.write_text("yesterday's\n")
    with gateway_with_tls(authority) as (url, keys):
        for name, value in {
            "PAYMENT_GATEWAY": url,
            "PAYMENT_GATEWAY_KEY_FILE": key,
            "PAYMENT_GATEWAY_CAFILE": authority.ca,
            "PAYMENT_GATEWAY_CERTFILE": stranger.certificate,
            "PAYMENT_GATEWAY_KEYFILE": stranger.key,
        }.items():
            monkeypatch.setenv(name, str(value))
        async with _open_gateway(PaymentSettings()) as gateway:
            with pytest.raises(GatewayUnavailable):
                await gateway.charge("k", uuid4(), AMOUNT)
            authority.issue("mine")  # over the stranger's
            assert await gateway.charge("k", uuid4(), AMOUNT) == Captured("r1")
            key.write_text("today's\n")
            assert await gateway.charge("k", uuid4(), AMOUNT) == Captured("r1")
    assert keys == ["Bearer yesterday's", "Bearer today's"]


async def test_a_gateway_of_another_authority_is_not_paid_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Authority(tmp_path, "stranger")
    with gateway_with_tls(Authority(tmp_path)) as (url, keys):
        monkeypatch.setenv("PAYMENT_GATEWAY", url)
        monkeypatch.setenv("PAYMENT_GATEWAY_CAFILE", str(stranger.ca))
        async with _open_gateway(PaymentSettings()) as gateway:
            with pytest.raises(GatewayUnavailable, match="ConnectError"):
                await gateway.charge("k", uuid4(), AMOUNT)
    assert keys == []
