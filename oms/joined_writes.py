"""A connection's transport that sends together what is written in one turn of the event loop.

uvicorn writes the head and the body of an answer one after the other, and each write is a system call that may wake the
client. So an answer is one write here. The answers of one commit also follow each other without the steps of other
requests in between, and a client finds several of them when it wakes.
"""

import asyncio
from typing import Any


class JoinedWrites:
    """A transport that joins its writes. Its other methods are those of `transport`."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self.is_closing = transport.is_closing  # it is asked for each answer
        self._unsent: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send `data` at the end of this turn."""
        if not self._unsent:
            self._loop.call_soon(self.flush)
        self._unsent.append(data)

    def close(self) -> None:
        """Close the connection once what was written is sent."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Send what was written."""
        unsent, self._unsent = self._unsent, []
        if unsent and not self.is_closing():
            self._transport.write(b"".join(unsent))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
