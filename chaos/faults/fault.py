"""What a fault is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Protocol, TypeAlias

from chaos.installation import Installation

Fault: TypeAlias = Callable[[Installation, Random], Awaitable[str | None]]
"""Damages the installation for a while, and answers a sentence about what it did. It returns healed, or with what heals
by itself, such as a process that the supervisor starts again. None means that it did no damage and does not count."""


class Server(Protocol):
    """What can be stopped, and goes on as if nothing had been."""

    def pause(self) -> None:
        """SIGSTOP."""

    def resume(self) -> None:
        """SIGCONT."""


@asynccontextmanager
async def paused(servers: Sequence[Server], seconds: float) -> AsyncIterator[None]:
    """Servers stop for these seconds, and for as long as the block takes."""
    for server in servers:
        server.pause()
    try:
        await asyncio.sleep(seconds)
        yield
    finally:
        for server in servers:
            server.resume()
