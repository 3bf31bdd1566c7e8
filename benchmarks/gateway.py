"""A payment gateway that takes its time, captures everything, and notices when a call is made twice at a time."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_TAKES = 0.1
_KEY = re.compile(rb"(?i)\r\nidempotency-key: *([^\r]+)")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Gateway:
    """Speaks the protocol of `payment_service.infrastructure.http_gateway` at `url`. `doubled` are the keys of calls
    that began while another one with the same key was under way. A call whose caller is gone is not under way."""

    def __init__(self) -> None:
        self.url = ""
        self.doubled: set[str] = set()
        self._under_way: Counter[str] = Counter()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one call of a connection."""
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            key, length = _KEY.search(head), _LENGTH.search(head)
            if key and length:
                await reader.readexactly(int(length[1]))
                await self._answer(key[1].decode(), reader, writer)
        writer.close()

    async def _answer(self, key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._under_way[key]:
            self.doubled.add(key)
        self._under_way[key] += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_TAKES):
                    await reader.read(1)  # it returns when the caller is gone
                    return
        finally:
            self._under_way[key] -= 1
        body = json.dumps({"reference": f"ch_{key}"}).encode()
        writer.write(b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()


@asynccontextmanager
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway on a free port of this machine."""
    running = Gateway()
    server = await asyncio.start_server(running.take, "127.0.0.1", 0, backlog=512)
    running.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield running
