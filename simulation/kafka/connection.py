"""The connection of the real client, without a wire: requests go to the cluster, and meet their fates on the way."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from typing import Any, Final
from unittest.mock import patch

import aiokafka.conn
from aiokafka.conn import CloseReason
from aiokafka.errors import KafkaConnectionError
from aiokafka.util import wait_for

from messaging.kafka.connection import Connection
from simulation.event_loop import MACHINE, Machine, SimulatedLoop
from simulation.kafka.beginnings import Beginnings
from simulation.kafka.cluster import VERSIONS, Cluster, host_of
from simulation.kafka.in_order import sets_in_order
from simulation.kafka.leadership import NODES
from simulation.network import Network, give

_LATE: Final = 4.0


class Fate(Enum):
    """What becomes of a request."""

    ARRIVES = auto()
    HELD = auto()
    """The connection breaks, and the request arrives later."""
    HELD_SILENTLY = auto()
    """It arrives later, and until then nothing comes."""
    ANSWER_LOST = auto()
    """It arrives, and the connection breaks before the answer."""
    TWICE = auto()
    """It arrives twice, one behind the other, and there is one answer."""
    LOST = auto()
    """The connection breaks, and it never arrives."""


@dataclass(slots=True)
class Wire:
    """What the connections of all clients lead to. `fate` decides on each request."""

    loop: SimulatedLoop
    cluster: Cluster
    network: Network
    rng: Random
    trace: Callable[..., None]
    fate: Callable[[str, str], Fate] = lambda _client, _kind: Fate.ARRIVES
    brokers: dict[str, Machine] = field(
        default_factory=lambda: {host_of(node): Machine(host_of(node)) for node in NODES}
    )
    links: dict[int, "_Link"] = field(default_factory=dict)
    beginnings: Beginnings = field(default_factory=Beginnings)

    def break_all(self, host: str, client: str | None = None) -> None:
        """The broker is gone, for everybody or for one client: the connections to it end."""
        for link in [link for link in self.links.values() if link.host == host and client in (None, link.client)]:
            link.broken()


WIRE: ContextVar[Wire] = ContextVar("wire")


class _Link:
    """A connection as both sides see it. A broker handles the requests of a connection one after another."""

    def __init__(self, wire: Wire, host: str, on_break: Callable[[], None]) -> None:
        self.host = host
        self.is_open = True
        self._node = next(node for node in NODES if host_of(node) == host)
        self._wire = wire
        self._client = MACHINE.get()
        self._number = wire.loop.next_number()
        self._on_break = on_break
        self._there = wire.network.context_of(wire.brokers[host])
        self._here = wire.network.context_of(self._client)
        self._is_busy = False
        self._waiting: deque[tuple[Any, asyncio.Future[Any]]] = deque()
        wire.links[self._number] = self

    @property
    def client(self) -> str:
        """The machine on this side."""
        return self._client.name

    def send(self, request: Any, answer: asyncio.Future[Any]) -> None:
        """The request goes on its way, behind those that were sent before."""
        self._waiting.append((request, answer))
        if not self._is_busy:
            self._next()

    def broken(self) -> None:
        """The client notices it."""
        if self.close():
            self._wire.loop.call_soon(self._on_break, context=self._here)

    def close(self) -> bool:
        """No request arrives any more, but those that are under way. False when it was closed before."""
        was_open, self.is_open = self.is_open, False
        self._wire.links.pop(self._number, None)
        return was_open

    def _next(self) -> None:
        """The next request travels. The time that it takes is drawn anew for each."""
        self._is_busy = bool(self._waiting)
        if self._is_busy:
            request, answer = self._waiting.popleft()
            seconds = self._wire.network.time(self._client.name, self.host)
            self._wire.loop.call_later(seconds, self._arrived, request, answer, context=self._there)

    def _arrived(self, request: Any, answer: asyncio.Future[Any]) -> None:
        if not self.is_open:
            return
        wire = self._wire
        fate = wire.fate(self._client.name, _kind(request))
        if fate is not Fate.ARRIVES:
            wire.trace("fate", self._client.name, self.host, _kind(request), fate.name)
        if fate in (Fate.HELD, Fate.HELD_SILENTLY):
            wire.loop.call_later(wire.rng.uniform(0.05, _LATE), self._late, request, context=self._there)
        if fate in (Fate.HELD, Fate.LOST):
            self.broken()
        elif fate is not Fate.HELD_SILENTLY:
            response = wire.cluster.answer(request, self._node)
            if fate is Fate.TWICE:
                self._late(request)
            if isinstance(response, Coroutine):
                wire.loop.create_task(self._answered(request, response, answer, fate), context=self._there)
            else:
                self._answer(request, response, answer, fate)

    async def _answered(
        self, request: Any, response: Coroutine[Any, Any, Any], answer: asyncio.Future[Any], fate: Fate
    ) -> None:
        self._answer(request, await response, answer, fate)

    def _answer(self, request: Any, response: Any, answer: asyncio.Future[Any], fate: Fate) -> None:
        self._note(request, response)
        self._wire.beginnings.answered(self._client.name, request, response)
        if fate is Fate.ANSWER_LOST:
            self.broken()
        elif self.is_open:
            seconds = self._wire.network.time(self.host, self._client.name)
            self._wire.loop.call_later(seconds, give, answer, response, context=self._here)
            self._next()

    def _late(self, request: Any) -> None:
        response = self._wire.cluster.answer(request, self._node)
        if isinstance(response, Coroutine):
            self._wire.loop.create_task(response, context=self._there)
        else:
            self._note(request, response, " late")

    def _note(self, request: Any, response: Any, how: str = "") -> None:
        if (kind := _kind(request)) not in ("Fetch", "Heartbeat"):
            self._wire.trace("request", self._client.name, self.host, kind + how, _errors(response))


def _kind(request: Any) -> str:
    return type(request).__name__.partition("Request")[0]


def _errors(response: Any) -> str:
    return str(getattr(response, "error_code", ""))


class SimulatedConnection(Connection):
    """The product's connection, whose bytes go nowhere."""

    _link: _Link | None = None
    _requests: Any
    _on_close_cb: Any

    async def connect(self) -> None:
        """Raises OSError when the broker is not there."""
        wire = WIRE.get()
        self._closed_fut = self._loop.create_future()
        await wire.network.transit(MACHINE.get().name, self.host)
        if not wire.network.reaches(MACHINE.get().name, self.host):
            raise ConnectionRefusedError(f"{self.host} is not there")
        self._versions = {kind: (version, version) for kind, version in VERSIONS.items()}
        self._link = _Link(wire, self.host, lambda: self.close(CloseReason.CONNECTION_BROKEN))

    def connected(self) -> bool:
        """See Connection."""
        return self._link is not None and self._link.is_open

    def _sent(self, request: Any, expect_response: bool) -> Any:  # noqa: ARG002
        """See Connection."""
        if self._link is None or not self._link.is_open:
            raise KafkaConnectionError(f"No connection to broker at {self.host}")
        answer = self._loop.create_future()
        self._requests = type(self._requests)(each for each in self._requests if not each.done())
        self._requests.append(answer)
        self._link.send(request.prepare(self._versions), answer)
        return wait_for(answer, self._request_timeout)

    def close(self, reason: CloseReason | None = None, exc: BaseException | None = None) -> Any:  # noqa: ARG002
        """See Connection."""
        if self._link is not None:
            self._link.close()
            self._link = None
            for answer in self._requests:
                if not answer.done():
                    answer.set_exception(KafkaConnectionError(f"Connection at {self.host} closed"))
            self._requests.clear()
            if self._on_close_cb is not None:
                self._on_close_cb(self, reason)
                self._on_close_cb = None
            if not self._closed_fut.done():
                self._closed_fut.set_result(None)
        return self._closed_fut


@contextmanager
def simulated_connections() -> Iterator[None]:
    """Within the block the client opens no other ones."""
    with (
        patch.object(aiokafka.conn, "AIOKafkaConnection", SimulatedConnection),
        sets_in_order(),
        WIRE.get().beginnings.watched(),
    ):
        yield
