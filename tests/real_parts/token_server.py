"""An OAuth server for tests: it gives signed tokens for a client's credentials."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE = "kafka"
ISSUER = "https://tokens.example.com"
CLIENT = "oms relay"  # with a space: the credentials are encoded twice


class TokenServer:
    """Gives tokens of `lifetime` seconds to CLIENT with `secret`. `answer` replaces what it says."""

    def __init__(self, secret: str, keys: Path) -> None:
        self.secret = secret
        self.lifetime = 300
        self.answer: tuple[int, bytes] | None = None
        self.asked = 0
        self._key = rsa.generate_private_key(65537, 2048)
        numbers = self._key.public_key().public_numbers()
        public = {
            "kty": "RSA",
            "kid": "k1",
            "alg": "RS256",
            "use": "sig",
            "n": _number(numbers.n),
            "e": _number(numbers.e),
        }
        keys.write_text(json.dumps({"keys": [public]}))
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}/token"

    def token(self) -> str:
        """A token that is valid from now on."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": CLIENT, "iat": now, "exp": now + self.lifetime}
        signed = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "k1"}, claims))
        return f"{signed}.{_base64(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def respond(self, credentials: str, form: dict[str, list[str]]) -> tuple[int, bytes]:
        """The answer to a request."""
        self.asked += 1
        if self.answer is not None:
            return self.answer
        name, _, secret = base64.b64decode(credentials.removeprefix("Basic ")).decode().partition(":")
        if (unquote_plus(name), unquote_plus(secret)) != (CLIENT, self.secret):
            return 401, b'{"error": "invalid_client"}'
        assert form["grant_type"] == ["client_credentials"]
        answer = {"access_token": self.token(), "token_type": "Bearer", "expires_in": self.lifetime}
        return 200, json.dumps(answer).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                status, content = server.respond(self.headers["Authorization"], form)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Tests print what they need."""

        return Handler

    @contextmanager
    def running(self) -> Iterator[None]:
        """Answer during the block."""
        thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _base64(value.to_bytes((value.bit_length() + 7) // 8, "big"))
