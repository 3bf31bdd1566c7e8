"""Which processes know the issuer's keys: those that somebody calls."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from shared_kernel.caller import Scope
from tests.access import issuer
from tests.real_parts.kafka import free_port
from tests.real_parts.order_process import OrderProcess


@contextmanager
def _published(asked: list[str]) -> Iterator[str]:
    """The address of the issuer's key set. `asked` gets a path for each request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = issuer.key_set()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/keys"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("roles", "metrics_have_a_port", "answers", "knows_keys"),
    [
        ("api", True, {"/orders": 200, "/metrics": 404}, True),
        ("relay", True, {"/orders": 401, "/metrics": 401}, False),
        ("consumer", True, {"/orders": 401, "/metrics": 401}, False),
        ("relay,consumer", False, {"/orders": 404, "/metrics": 200}, True),
    ],
)
async def test_a_process_fetches_the_issuers_keys_if_somebody_calls_it(
    tmp_path: Path, roles: str, metrics_have_a_port: bool, answers: dict[str, int], knows_keys: bool
) -> None:
    asked: list[str] = []
    bearer = {"Authorization": f"Bearer {issuer.token('shop', [*Scope])}"}
    with _published(asked) as keys:
        settings = {
            "ORDER_DATABASE_URL": "memory",
            "EVENT_PUBLISHER": "logging",
            "AUTH": "required",
            "AUTH_ISSUER": issuer.ISSUER,
            "AUTH_AUDIENCE": issuer.AUDIENCE,
            "AUTH_JWKS_URL": keys,
        } | ({"METRICS_PORT": str(free_port())} if metrics_have_a_port else {})
        with OrderProcess(tmp_path, settings, "serve", "order", "--roles", roles) as service:
            async with httpx.AsyncClient(base_url=service.url, headers=bearer) as client:
                assert {path: (await client.get(path)).status_code for path in answers} == answers

    assert bool(asked) == knows_keys, "a token was shown, so a process that has an issuer has asked it by now"
