"""Clients of a shop on a bad day: they place, ask again, read, cancel and complete, and write down every call."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import httpx

from chaos.history import Call, History, Operation
from tests.bad_days.fulfilment_load import BASKETS

_EXPECTED = {
    Operation.PLACE: {201, 503},
    Operation.READ: {200, 503},
    Operation.CANCEL: {200, 202, 409, 503},
    Operation.COMPLETE: {200, 409, 503},
}
_ANSWER_WITHIN = 8.0
_ATTEMPTS = 8
_REMEMBERED = 120


def product(round_: int, name: str) -> str:
    """The product's id in this round, so that the sums of a round are its own."""
    return f"r{round_}-{name}"


@dataclass(slots=True)
class Clients:
    """All clients of one round. `unexpected` are the answers that no fault may lead to."""

    round: int
    urls: Sequence[str]
    rng: Random
    history: History = field(default_factory=History)
    unexpected: list[str] = field(default_factory=list)
    _recent: list[tuple[str, str]] = field(default_factory=list)
    _placed: int = 0

    async def run(self, stop: asyncio.Event, clients: int, pause: float) -> None:
        """Return soon after `stop` is set. Each client pauses for `pause` seconds between its orders, on average."""
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(self._client(number, stop, pause))

    async def until_accepted(self, orders: int, within: float) -> None:
        """Wait until this many orders have been accepted, or write down that they were not: a round without orders
        proves nothing."""
        deadline = time.monotonic() + within
        while len(self.history.order_ids) < orders:
            if time.monotonic() > deadline:
                self.unexpected.append(f"only {len(self.history.order_ids)} orders were accepted in this round")
                return
            await asyncio.sleep(0.2)

    async def read_again(self, most: int) -> None:
        """Read some of the orders once more, after the rest. The last call of the history sees their final states."""
        placed = list(self.history.order_ids.items())
        async with httpx.AsyncClient(timeout=_ANSWER_WITHIN) as http:
            for key, order_id in self.rng.sample(placed, min(most, len(placed))):
                await self._call(http, -1, Operation.READ, key, f"/orders/{order_id}")

    async def _client(self, number: int, stop: asyncio.Event, pause: float) -> None:
        async with httpx.AsyncClient(timeout=_ANSWER_WITHIN) as http:
            while not stop.is_set():
                await self._place(http, number, stop)
                for _ in range(self.rng.randint(0, 3)):
                    await self._look_at_one(http, number)
                await asyncio.sleep(self.rng.uniform(0.5, 1.5) * pause)

    async def _place(self, http: httpx.AsyncClient, number: int, stop: asyncio.Event) -> None:
        """Place one order. An unknown outcome is asked for again with the same key, and so is one success in ten."""
        self._placed += 1
        key = f"r{self.round}-{self._placed}-{self.rng.getrandbits(32):x}"
        basket = self.rng.choice(BASKETS)
        body = {"items": [item | {"productId": product(self.round, str(item["productId"]))} for item in basket]}
        for _ in range(_ATTEMPTS):
            call = await self._call(
                http, number, Operation.PLACE, key, "/orders", json=body, headers={"Idempotency-Key": key}
            )
            if call.succeeded and call.order_id:
                self._recent = [*self._recent[1 - _REMEMBERED :], (key, call.order_id)]
                if self.rng.random() > 0.1:
                    return
            elif stop.is_set():
                return  # an order whose client gave up: it exists or it does not
            await asyncio.sleep(self.rng.uniform(0.02, 0.2))

    async def _look_at_one(self, http: httpx.AsyncClient, number: int) -> None:
        """Read, cancel or complete an order, most likely another client's."""
        if not self._recent:
            return
        chance = self.rng.random()
        older = self._recent[: (1 + len(self._recent)) // 2]  # confirmed by now, so that there is something to complete
        key, order_id = self.rng.choice(self._recent if chance < 0.9 else older)
        if chance < 0.8:
            headers = {"Prefer": "wait=1"} if chance < 0.2 else {}
            await self._call(http, number, Operation.READ, key, f"/orders/{order_id}", headers=headers)
        else:
            operation = Operation.CANCEL if chance < 0.9 else Operation.COMPLETE
            await self._call(http, number, operation, key, f"/orders/{order_id}/{operation}")

    async def _call(
        self, http: httpx.AsyncClient, number: int, operation: Operation, key: str, path: str, **request: object
    ) -> Call:
        method = "GET" if operation is Operation.READ else "POST"
        with self.history.call(number, operation, key) as call:
            try:
                answer = await http.request(method, self.rng.choice(self.urls) + path, **request)  # type: ignore[arg-type]
            except httpx.HTTPError:
                return call
            call.http_status = answer.status_code
            if call.succeeded:
                told = answer.json()
                call.order_id, call.status = told["orderId"], told["status"]
                call.version = told.get("version", 1)
        if call.http_status not in _EXPECTED[operation]:
            self.unexpected.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return call
