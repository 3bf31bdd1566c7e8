"""Customers for the bad days of the fulfilment: they order what there is and what is not, cancel, and complete."""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import httpx

from tests.real_parts.order_process import RETRY_AFTER

BASKETS = (
    [{"productId": "p1", "quantity": 2}],
    [{"productId": "p1", "quantity": 1}, {"productId": "p2", "quantity": 3}],
    [{"productId": "p2", "quantity": 1}, {"productId": "p1", "quantity": 1}],
    [{"productId": "p2", "quantity": 5}],
    [{"productId": "scarce", "quantity": 1}, {"productId": "p1", "quantity": 1}],
    [{"productId": "dear", "quantity": 1}],
    [{"productId": "nowhere", "quantity": 1}],
)


@dataclass(slots=True)
class Customers:
    """They remember the orders that they were promised by a 201."""

    url: Callable[[], str]
    rng: random.Random
    accepted: list[str] = field(default_factory=list)

    async def place(self, orders: int, *, at_a_time: int = 16) -> None:
        """Place orders until this many were accepted; a request that fails is not counted, and made anew. Some are
        cancelled at once or later, some are completed if that is possible then."""
        await self._come([iter(range(orders))] * at_a_time, pause=0)

    async def place_until(self, stop: asyncio.Event, *, at_a_time: int, pause: float) -> None:
        """The same until `stop` is set. Each customer pauses after each order."""
        await self._come([iter(stop.is_set, True)] * at_a_time, pause)

    async def _come(self, customers: Sequence[Iterator[object]], pause: float) -> None:
        async with httpx.AsyncClient(timeout=10) as client:
            await asyncio.gather(*(self._customer(client, left, pause) for left in customers))

    async def _customer(self, client: httpx.AsyncClient, left: Iterator[object], pause: float) -> None:
        for _ in left:
            order_id = await self._place_one(client)
            if self.rng.random() < 0.2:
                await asyncio.sleep(self.rng.random())
                await self._change(client, order_id, self.rng.choice(["cancel", "complete"]))
            await asyncio.sleep(pause)

    async def _place_one(self, client: httpx.AsyncClient) -> str:
        # The key makes asking again safe: a request that was cut off may have been taken.
        key = f"{self.rng.getrandbits(64):x}"
        body = {"items": self.rng.choice(BASKETS)}
        while True:
            try:
                response = await client.post(f"{self.url()}/orders", json=body, headers={"Idempotency-Key": key})
            except httpx.HTTPError:
                await asyncio.sleep(RETRY_AFTER)
                continue
            if response.status_code == 201:
                order_id = str(response.json()["orderId"])
                self.accepted.append(order_id)
                return order_id
            assert response.status_code == 503, response.text
            await asyncio.sleep(RETRY_AFTER)

    async def _change(self, client: httpx.AsyncClient, order_id: str, what: str) -> None:
        """Ask once; what became of it the audit will tell."""
        try:
            response = await client.post(f"{self.url()}/orders/{order_id}/{what}")
        except httpx.HTTPError:
            return
        assert response.status_code in (200, 202, 409, 503), response.text
