"""A client that posts orders over 64 connections, in one of two ways.

Open loop, for latency: orders are sent when they are due, whether or not earlier ones were answered. A request that had
to wait for a free connection counts from when it was due, so a stall of the server is not hidden by the client's own
waiting (Gil Tene's "coordinated omission").

Closed loop, for throughput: as many orders are on their way as were asked for, from being posted to being settled. No
backlog can grow, so what is settled in a second is what the system sustains.
"""

import asyncio
import itertools
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Self, cast

from benchmarks.waiting import until
from benchmarks.wrk import CONNECTIONS

_HEAD = b"POST %b HTTP/1.1\r\nHost: oms\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_ANSWERED_WITHIN = 30.0
_TOP_UP_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a system is asked for orders. `requests` are bodies, endless, each with the id of its order where the client
    chooses it. `answer` is what it says with `status` when it has one; its group is the id where the system chooses
    it."""

    path: str
    requests: Iterable[tuple[bytes, str]]
    status: int
    answer: re.Pattern[bytes]


def our_dialect(products: int = 1) -> Dialect:
    """Orders of `p1`, or in turns of one of so many `products`."""
    bodies = [b'{"items":[{"productId":"p%d","quantity":2}]}' % number for number in range(1, products + 1)]
    answer = re.compile(rb'\{"orderId":"([0-9a-f-]{36})","status":"PENDING"\}\Z')
    return Dialect("/orders", itertools.cycle([(body, "") for body in bodies]), 201, answer)


class OrderClient:
    """Posts orders over 64 connections."""

    def __init__(self, dialect: Dialect) -> None:
        self._requests = _requests(dialect)
        self.dialect = dialect
        self._due: dict[str, float] = {}
        self._unsent: deque[float] = deque()
        self._idle: deque[_Connection] = deque()
        self._connections: list[_Connection] = []

    @classmethod
    async def connected_to(cls, port: int, dialect: Dialect | None = None) -> Self:
        """Open the connections. A system of ours is asked for `p1` when no dialect is given."""
        client = cls(dialect or our_dialect())
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            _, connection = await loop.create_connection(lambda: _Connection(client), "127.0.0.1", port)
            client._connections.append(connection)
        client._idle.extend(client._connections)
        return client

    @property
    def accepted(self) -> Collection[str]:
        """The ids of the orders that were accepted."""
        return self._due.keys()

    async def post_orders(self, per_second: float, seconds: float) -> dict[str, float]:
        """Post at a steady rate. Answers when each order was due, by its id, in `time.perf_counter`.

        Raises RuntimeError when one is not accepted.
        """
        started = time.perf_counter()
        count = int(per_second * seconds)
        sent = 0
        while sent < count:
            elapsed = time.perf_counter() - started
            while sent < count and sent / per_second <= elapsed:
                self._unsent.append(started + sent / per_second)
                sent += 1
            self._send()
            await asyncio.sleep(0.001)

        await self._until_answered(count)
        return self._due

    async def keep_on_their_way(self, orders: int, pending: Callable[[], Awaitable[int]], stop: asyncio.Event) -> int:
        """Until `stop`, keep so many orders posted and not yet settled; answers how many were posted. `pending` counts
        those that are stored and not yet settled.

        Raises RuntimeError when one is not accepted.
        """
        posted = 0
        while not stop.is_set():
            # Answered is read first: an order that is answered meanwhile counts twice, and `orders` is not exceeded.
            unanswered = posted - len(self._due)
            room = max(0, orders - unanswered - await pending())
            self._unsent.extend([time.perf_counter()] * room)
            posted += room
            self._send()
            self._raise_refusal()
            await asyncio.sleep(_TOP_UP_EVERY)
        await self._until_answered(posted)
        return posted

    async def _until_answered(self, count: int) -> None:
        async def all_answered() -> bool:
            self._raise_refusal()
            return len(self._due) == count

        await until(all_answered, f"{count:,} orders are answered", within=_ANSWERED_WITHIN)

    def _raise_refusal(self) -> None:
        for connection in self._connections:
            connection.raise_refusal()

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()

    def answered(self, connection: "_Connection", order_id: str, due: float) -> None:
        """An order was accepted; its connection is free again."""
        self._due[order_id] = due
        self._idle.append(connection)
        self._send()

    def _send(self) -> None:
        while self._unsent and self._idle:
            self._idle.popleft().post(*next(self._requests), self._unsent.popleft())


def _requests(dialect: Dialect) -> Iterator[tuple[bytes, str]]:
    for body, order_id in dialect.requests:
        yield _HEAD % (dialect.path.encode(), len(body), body), order_id


class _Connection(asyncio.Protocol):
    def __init__(self, client: OrderClient) -> None:
        self._client = client
        self._order_id = ""
        self._due = 0.0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def post(self, request: bytes, order_id: str, due: float) -> None:
        self._order_id = order_id
        self._due = due
        self._received = b""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if answer := self._client.dialect.answer.search(self._received):
            self._client.answered(self, self._order_id or answer[1].decode(), self._due)

    def raise_refusal(self) -> None:
        if self._received and not self._received.startswith(b"HTTP/1.1 %d" % self._client.dialect.status):
            raise RuntimeError(f"an order was not accepted: {self._received.decode(errors='replace')}")

    def close(self) -> None:
        self._transport.close()
