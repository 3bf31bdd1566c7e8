"""A proxy in front of brokers that knows where a request begins and ends, and lets a script decide what becomes of it.

The brokers advertise the proxy's ports (see `kafka_cluster`) and talk to each other without it. `script` is awaited for
each request of each client. While it waits, the requests behind it on the same connection wait, too. `answered` is
awaited before an answer goes on to the client.
"""

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Self, TypeAlias

_HOST = "127.0.0.1"
_DELIVERED_WITHIN = 30.0


class Kind(Enum):
    """The requests of a transactional producer, by their API keys."""

    PRODUCE = 0
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS = 24
    END_TXN = 26


_KINDS = {kind.value: kind for kind in Kind}


class Fate(Enum):
    """What becomes of a request.

    HOLD: the connection breaks, and the broker gets the request when the script delivers it. HOLD_SILENTLY: the same,
    but the connection stays open and nothing is answered on it. LOSE_ANSWER: the broker gets it, and the connection
    breaks instead of the answer. TWICE: the broker gets it twice, one behind the other, and the client one answer.
    BREAK: the broker never gets it, and the connection breaks.
    """

    FORWARD = auto()
    HOLD = auto()
    HOLD_SILENTLY = auto()
    LOSE_ANSWER = auto()
    TWICE = auto()
    BREAK = auto()


@dataclass(frozen=True, slots=True)
class Request:
    """A request as a client sent it. `frame` is all of it, with its size in front."""

    frame: bytes
    port: int
    kind: Kind | None
    transactional_id: str | None

    @classmethod
    def of(cls, frame: bytes, port: int) -> Self:
        """Read what is needed of it. All four kinds begin with the transactional id in the versions that aiokafka
        speaks."""
        api_key, _, _, length = struct.unpack_from(">hhih", frame, 4)
        kind = _KINDS.get(api_key)
        if kind is None:
            return cls(frame, port, None, None)
        start = 14 + max(0, length)
        (size,) = struct.unpack_from(">h", frame, start)
        return cls(frame, port, kind, frame[start + 2 : start + 2 + size].decode() if size >= 0 else None)


Script: TypeAlias = Callable[[Request], Awaitable[Fate]]
Answered: TypeAlias = Callable[[Request, bytes], Awaitable[None]]
_Pending: TypeAlias = deque[tuple[Request, Fate]]
_SWALLOWED = Fate.HOLD_SILENTLY


@dataclass(frozen=True, slots=True)
class KafkaProxy:
    """Serves connections to brokers."""

    script: Script
    answered: Answered

    async def serve(self, port: int, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """A connection of a client, until one side closes it or the script breaks it."""
        try:
            answers, broker = await asyncio.open_connection(_HOST, port)
        except OSError:
            back.close()  # as if there were no proxy: nobody listens
            return
        pending: _Pending = deque()
        directions = [
            asyncio.ensure_future(self._requests(client, port, broker, pending)),
            asyncio.ensure_future(self._answers(answers, back, pending)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for writer in (back, broker):
                writer.close()
            for direction in directions:
                direction.cancel()
            for ended in await asyncio.gather(*directions, return_exceptions=True):
                if isinstance(ended, Exception) and not isinstance(ended, OSError | EOFError):
                    raise ended

    async def _requests(
        self, client: asyncio.StreamReader, port: int, broker: asyncio.StreamWriter, pending: _Pending
    ) -> None:
        while True:
            request = Request.of(await _frame(client), port)
            match fate := await self.script(request):
                case Fate.HOLD | Fate.BREAK:
                    return
                case Fate.HOLD_SILENTLY:
                    continue
                case Fate.TWICE:
                    pending += [(request, Fate.FORWARD), (request, _SWALLOWED)]
                    broker.write(request.frame * 2)
                case _:
                    pending.append((request, fate))
                    broker.write(request.frame)
            await broker.drain()

    async def _answers(self, answers: asyncio.StreamReader, back: asyncio.StreamWriter, pending: _Pending) -> None:
        while True:
            answer = await _frame(answers)
            request, fate = pending.popleft()
            await self.answered(request, answer[4:])
            if fate is Fate.LOSE_ANSWER:
                return
            if fate is not _SWALLOWED:
                back.write(answer)
                await back.drain()


async def deliver(request: Request) -> bytes:
    """Send a request that was held, on a connection of its own. Returns the answer without its size."""
    async with asyncio.timeout(_DELIVERED_WITHIN):
        reader, writer = await asyncio.open_connection(_HOST, request.port)
        try:
            writer.write(request.frame)
            return (await _frame(reader))[4:]
        finally:
            writer.close()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    size = await reader.readexactly(4)
    return size + await reader.readexactly(int.from_bytes(size, "big"))


@asynccontextmanager
async def kafka_proxy(ports: Mapping[int, int], script: Script, answered: Answered) -> AsyncIterator[None]:
    """Listen on the advertised ports, the keys, for the ports of the brokers, the values."""
    proxy = KafkaProxy(script, answered)
    connections: set[asyncio.Task[Any]] = set()

    async def listen(port: int, broker_port: int) -> asyncio.Server:
        async def serve(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                with suppress(asyncio.CancelledError):  # the proxy ends
                    await proxy.serve(broker_port, client, back)
            finally:
                connections.discard(task)

        return await asyncio.start_server(serve, _HOST, port)

    servers = [await listen(port, broker_port) for port, broker_port in ports.items()]
    try:
        yield
    finally:
        for server in servers:
            server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
