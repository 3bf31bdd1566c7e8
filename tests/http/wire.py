"""A connection of a client, byte by byte: what arrives in which segment is the test's to say."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httptools
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from oms.http_protocol import GuardedHttp
from oms.process import server_config
from tests.real_parts.waiting import DEADLINE


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the application was handed it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as the client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes


class Application:
    """It keeps the requests that came whole, and says the body of each back. While it is `held` it answers nobody."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 200."""
        assert scope["type"] == "http"
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append(Request(scope["method"], scope["path"], headers, body))
        await self.free.wait()
        length = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})


class _Transport(asyncio.Transport):
    """What the protocol writes, and that it closed."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self.read = _Answers()
        self.writes = 0
        self.changed = asyncio.Event()
        self.closed = False
        self.aborted = False
        self.unsent: Iterator[int] = itertools.repeat(0)

    def get_write_buffer_size(self) -> int:
        return next(self.unsent)

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def write(self, data: Any) -> None:
        self.writes += 1
        self.read.feed(bytes(data))
        self.changed.set()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.changed.set()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class _Answers:
    """Reads answers."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.on_message_begin()
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, written: bytes) -> None:
        self._parser.feed_data(written)

    def on_message_begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.answers.append(Answer(self._parser.get_status_code(), self._headers, self._body))


class Wire:
    """A client's end of a connection to a server of ours that runs `application`."""

    def __init__(self, application: ASGIApp, *, keep_alive_seconds: float = 75) -> None:
        config = server_config(application, 75)
        config.load()
        config.timeout_keep_alive = keep_alive_seconds  # type: ignore[assignment]  # tests do not wait for a second
        assert config.http_protocol_class is GuardedHttp
        protocol = self._protocol = GuardedHttp(config=config, server_state=ServerState(), app_state={})
        self._transport = _Transport(protocol)
        protocol.connection_made(self._transport)

    def send(self, *segments: bytes) -> None:
        """The segments arrive, one after another."""
        for segment in segments:
            self._protocol.data_received(segment)

    def end(self) -> None:
        """The client says that it sends nothing more. It still reads."""
        if not self._protocol.eof_received():
            self._transport.close()

    @property
    def answers(self) -> Sequence[Answer]:
        """What was answered by now, interim answers included."""
        return self._transport.read.answers

    @property
    def writes(self) -> int:
        """How often the server has written."""
        return self._transport.writes

    @property
    def is_closed(self) -> bool:
        """Did the server close?"""
        return self._transport.closed

    @property
    def is_aborted(self) -> bool:
        """Did the server close without waiting until everything is sent?"""
        return self._transport.aborted

    def take(self, *unsent: int) -> None:
        """The client takes what is written as these sizes of what is left say, and in the end nothing more."""
        self._transport.unsent = itertools.chain(unsent, itertools.repeat(unsent[-1]))

    async def until_answered(self, count: int) -> Sequence[Answer]:
        """Wait for so many answers."""
        return await self._until(lambda: len(self.answers) >= count, f"{count} answers")

    async def until_closed(self) -> Sequence[Answer]:
        """Wait until the server closes; answers what it said before."""
        return await self._until(lambda: self.is_closed, "the end of the connection")

    async def _until(self, holds: Any, what: str) -> Sequence[Answer]:
        try:
            async with asyncio.timeout(DEADLINE):
                while not holds():
                    self._transport.changed.clear()
                    await self._transport.changed.wait()
        except TimeoutError:
            raise AssertionError(f"waited for {what} after {self.answers[-3:]}") from None
        return self.answers
