"""Another company's program on a bad day: a server that takes requests and answers with whatever bytes a test has."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

Answers: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""Writes the answer to one request."""


@dataclass
class HostileServer:
    """A server at `url`. `requests` are the heads of what came."""

    url: str = ""
    requests: list[str] = field(default_factory=list)


@asynccontextmanager
async def hostile_server(answers: Answers, tls: ssl.SSLContext | None = None) -> AsyncIterator[HostileServer]:
    """Answer each request like this, on its own connection or on one that is used again; gone afterwards."""
    hostile = HostileServer()
    connections: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                (length,) = [
                    line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length")
                ]
                await reader.readexactly(int(length))
                hostile.requests.append(head)
                await answers(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.transport.abort()  # the other side has gone, or the test is over
        finally:
            connections.discard(task)

    server = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=tls)
    try:
        host, port = server.sockets[0].getsockname()
        hostile.url = f"http{'s' if tls else ''}://{host}:{port}"
        yield hostile
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*connections, return_exceptions=True)


def saying(*parts: bytes) -> Answers:
    """Write these bytes, and keep the connection open."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(parts))

    return answer


def endless(head: bytes, part: bytes, every: float = 0.0) -> Answers:
    """Write a head, and then the same part for as long as somebody listens, one `every` so many seconds."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(every)

    return answer


def response(status: int, body: bytes, *headers: str) -> bytes:
    """An answer as it should be, with these headers besides."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
