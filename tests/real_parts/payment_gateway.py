"""A real payment gateway for the tests: it speaks the protocol of `payment_service.infrastructure.http_gateway` on a
port of its own, and keeps books, so that a test can see what money was moved.

It can be told to be slow, to be away, to answer nonsense, and to do its work and then drop the connection.
"""

import asyncio
import json
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

LIMIT = Decimal("1000.00")
_PATIENCE = 30.0


@dataclass(slots=True)
class Ledger:
    """What the gateway did. `calls` are the keys as they came; `charges` and `refunds` are the amounts that were moved,
    by key; `answers` is what it says to each key, from its first call on."""

    calls: list[str] = field(default_factory=list)
    charges: dict[str, tuple[UUID, Decimal]] = field(default_factory=dict)
    refunds: dict[str, tuple[UUID, Decimal]] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    _sums: defaultdict[UUID, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def balance(self) -> dict[UUID, Decimal]:
        """What each order is charged with after all, without those that are charged nothing."""
        return {order: amount for order, amount in list(self._sums.items()) if amount}

    def handle(self, path: str, key: str, body: dict[str, Any]) -> tuple[int, dict[str, str]]:
        """Do what a key asks for, once, and say the same each time."""
        if key not in self.answers:
            self.answers[key] = self._move(path, key, UUID(body["orderId"]), Decimal(body["amount"]["amount"]))
        return self.answers[key]

    def _move(self, path: str, key: str, order: UUID, amount: Decimal) -> tuple[int, dict[str, str]]:
        if path == "/charges":
            if amount > LIMIT:
                return 402, {"reason": f"{amount} is more than this card can pay"}
            self.charges[key] = order, amount
            self._sums[order] += amount
            return 201, {"reference": f"ch_{len(self.charges)}"}
        if self._sums[order] < amount:
            return 409, {"reason": "that much was not charged"}
        self.refunds[key] = order, amount
        self._sums[order] -= amount
        return 201, {"reference": f"re_{len(self.refunds)}"}


class RealGateway:
    """A gateway at one address, whose books outlive its being stopped and started."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._books = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._drops = 0
        self._nonsense: list[tuple[int, bytes]] = []
        self._connections: set[socket.socket] = set()
        self._server: _Server | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port at which it answers, or did."""
        return self._port

    @property
    def url(self) -> str:
        """Its address, the same for as long as it lives."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Answer, at the same port as before."""
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Be away: connections break, and new ones are refused."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Take calls while this lasts, do nothing about them before it ends, and then do them all."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def drop_answers(self, number: int) -> int:
        """Do the work of the next calls, and drop their connections in place of an answer. Returns how many of the last
        such calls have not come."""
        left, self._drops = self._drops, number
        return left

    def answer_with(self, *answers: tuple[int, bytes]) -> None:
        """Answer the next calls like this, and do nothing."""
        self._nonsense.extend(answers)

    async def until(self, holds: Callable[[Ledger], bool], what: str) -> None:
        """Wait until the ledger says so. Raises AssertionError with the calls that came."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while not holds(self.ledger):
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what}; the gateway got {self.ledger.calls}") from None

    def answer(self, path: str, key: str, body: bytes) -> tuple[int, bytes] | None:
        """The answer to a call; None drops the connection."""
        with self._books:
            self.ledger.calls.append(key)
            if self._nonsense:
                return self._nonsense.pop(0)
        self._open.wait(_PATIENCE)
        with self._books:
            status, answer = self.ledger.handle(path, key, json.loads(body))
            if self._drops:
                self._drops -= 1
                return None
        return status, json.dumps(answer).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], gateway: RealGateway) -> None:
        self.gateway = gateway
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is the client's affair."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.gateway._connections.add(self.connection)

    def finish(self) -> None:
        self.server.gateway._connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.gateway.answer(self.path, self.headers["Idempotency-Key"], body)
        if answer is None:
            self.close_connection = True
            return
        status, content = answer
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its base class's name
        """The ledger has it."""


@contextmanager
def real_gateway() -> Iterator[RealGateway]:
    """A gateway that answers; gone afterwards."""
    gateway = RealGateway()
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()
