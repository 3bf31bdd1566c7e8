"""A server that is behind a Unix socket, reached over TCP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@asynccontextmanager
async def over_tcp(dsn: str) -> AsyncIterator[tuple[str, int]]:
    """Host and port of a proxy to the PostgreSQL that `dsn` has the folder of."""
    (folder,) = parse_qs(urlsplit(dsn).query)["host"]
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(str(Path(folder) / ".s.PGSQL.5432"))
        for task in (pump(reader, far_writer), pump(far_reader, writer)):
            pumps.add(asyncio.create_task(task))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
