"""A connection's writes, sent together.

uvicorn writes the head and the body of an answer one after the other, and each write is a system call that may wake the
client. So what is written in one turn of the event loop is sent at the beginning of the next one. An answer is one
write then. The answers of one commit also follow each other without the steps of other requests in between, and a
client finds several of them when it wakes.

What has come from the clients is read before the next turn begins. So whoever may close the connection then flushes
first. (TLS that ends without a close_notify is closed without asking, and what waits is dropped.)
"""

import asyncio

_MOST_UNSENT = 64 * 1024


class JoinedWrites:
    """Stands for `transport`, with the methods of it that an HTTP connection uses."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._unsent: list[bytes] = []
        self._size = 0
        self.abort = transport.abort
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send `data` at the beginning of the next turn, or at once together with what waits, if that is much."""
        if not self._unsent:
            self._loop.call_soon(self.flush)
        self._unsent.append(data)
        self._size += len(data)
        if self._size > _MOST_UNSENT:
            self.flush()

    def close(self) -> None:
        """Close the connection once what was written is sent."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Send what was written, unless the connection is closing."""
        unsent, self._unsent, self._size = self._unsent, [], 0
        if unsent and not self.is_closing():
            self._transport.write(b"".join(unsent))
