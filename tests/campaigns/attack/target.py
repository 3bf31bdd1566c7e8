"""The system that is attacked: `oms up` with AUTH=required, an issuer of tokens, and API keys."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from shared_kernel.caller import Scope
from tests.access import issuer
from tests.real_parts.order_process import OrderProcess


@dataclass(frozen=True, slots=True)
class Target:
    """Where it is, a good token with every scope, and a good API key."""

    process: OrderProcess
    token: str
    key: str

    @property
    def url(self) -> str:
        """The address."""
        return self.process.url


class _KeySet(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = issuer.key_set()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as the library has it
        """Say nothing."""


@contextmanager
def target(folder: Path) -> Iterator[Target]:
    """The system, started with a database of its own; gone afterwards."""
    published = ThreadingHTTPServer(("127.0.0.1", 0), _KeySet)
    threading.Thread(target=published.serve_forever, daemon=True).start()
    settings = {
        "AUTH": "required",
        "AUTH_ISSUER": issuer.ISSUER,
        "AUTH_AUDIENCE": issuer.AUDIENCE,
        "AUTH_JWKS_URL": f"http://127.0.0.1:{published.server_port}/keys",
        "RATE_LIMIT_PER_SECOND": "1000000",
    }
    try:
        with OrderProcess(folder, settings, "up", "--quiet") as process:
            scopes = [option for scope in Scope for option in ("--scope", scope.value)]
            made = subprocess.run(
                [sys.executable, "-m", "oms", "api-keys", "create", "shop", *scopes],
                env=process.environment,
                cwd=folder,
                capture_output=True,
                text=True,
                check=True,
            )
            yield Target(process, issuer.token("shop", sorted(Scope), exp=2**40), made.stdout.strip())
    finally:
        published.shutdown()
        published.server_close()
