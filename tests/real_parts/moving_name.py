"""A name that points to one server of a cluster, and later to another: TCP in front of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.real_parts.postgres_cluster import Node


class MovingName:
    """Whoever connects reaches the server that it points to at that moment."""

    def __init__(self, node: Node) -> None:
        self.port = 0
        self._node = node
        self._connections: set[asyncio.Task[None]] = set()

    def dsn(self, options: str = "") -> str:
        """The database's address by this name."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable{options}"

    def move_to(self, node: Node) -> None:
        """Point to another server. Connections break, as when their server is lost."""
        self._node = node
        for connection in self._connections:
            connection.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._node.port)
            try:
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
            finally:
                far_writer.close()
        except (OSError, asyncio.CancelledError):
            pass  # the other side sees a connection that is closed
        finally:
            self._connections.discard(task)
            writer.close()


@asynccontextmanager
async def moving_name(node: Node) -> AsyncIterator[MovingName]:
    """A name that points to this server."""
    name = MovingName(node)
    server = await asyncio.start_server(name.serve, "127.0.0.1", 0)
    name.port = server.sockets[0].getsockname()[1]
    try:
        yield name
    finally:
        server.close()
        name.move_to(node)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        with suppress(OSError):
            await target.drain()
    target.close()
