"""A network that stalls: TCP in front of a real PostgreSQL, which forwards until it is told to hang."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@dataclass
class StallingProxy:
    """While it hangs it takes connections and bytes, and nothing comes back."""

    upstream: Path | None
    port: int = 0
    _forwarding: asyncio.Event = field(default_factory=asyncio.Event)
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    def hang(self) -> None:
        """From now on nothing is forwarded."""
        self._forwarding.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._forwarding.wait()
            assert self.upstream is not None
            up_reader, up_writer = await asyncio.open_unix_connection(str(self.upstream))
            with suppress(ConnectionError):
                await asyncio.gather(self._pump(reader, up_writer), self._pump(up_reader, writer))
        finally:
            self._connections.discard(task)
            writer.close()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await self._forwarding.wait()
            target.write(data)
            await target.drain()
        target.close()


@asynccontextmanager
async def stalling_proxy(dsn: str | None = None) -> AsyncIterator[StallingProxy]:
    """In front of the PostgreSQL of that DSN; without one it hangs from the start, as a broker or a gateway may."""
    proxy = StallingProxy(_socket_of(dsn) if dsn else None)
    if dsn:
        proxy._forwarding.set()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for connection in list(proxy._connections):
            connection.cancel()


def through(proxy: StallingProxy, dsn: str) -> str:
    """The DSN of the same database, through the proxy."""
    return f"postgresql://postgres@127.0.0.1:{proxy.port}{urlsplit(dsn).path}"


def _socket_of(dsn: str) -> Path:
    return Path(parse_qs(urlsplit(dsn).query)["host"][0]) / ".s.PGSQL.5432"
