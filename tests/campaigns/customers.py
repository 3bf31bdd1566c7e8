"""Customers who insist: each repeats its order with the same key until it is accepted."""

import asyncio
import time
from dataclasses import dataclass, field
from uuid import uuid4

import httpx

from tests.real_parts.order_process import ORDER

_PAUSE = 0.02
_ANSWERS_WITHIN = 30.0


@dataclass(slots=True)
class Customers:
    """`accepted` has the order ids of the 201s, and when each was answered."""

    accepted: dict[str, float] = field(default_factory=dict)
    refused: int = 0

    async def order(self, url: str, stop: asyncio.Event, *, clients: int = 24) -> None:
        """Place one order after another until `stop` is set."""
        async with httpx.AsyncClient(base_url=url, timeout=_ANSWERS_WITHIN) as client:
            await asyncio.gather(*(self._order_on(client, stop) for _ in range(clients)))

    async def _order_on(self, client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        key = str(uuid4())
        while not stop.is_set():
            try:
                answer = await client.post("/orders", json=ORDER, headers={"Idempotency-Key": key})
            except httpx.HTTPError:
                await asyncio.sleep(_PAUSE)
                continue
            if answer.status_code == 201:
                self.accepted[answer.json()["orderId"]] = time.monotonic()
                key = str(uuid4())
            else:
                assert answer.status_code == 503, answer.text
                self.refused += 1
            await asyncio.sleep(_PAUSE)

    async def until_accepted(self, more: int, within: float = 120.0) -> None:
        """Wait until so many more orders are accepted."""
        wanted = len(self.accepted) + more
        async with asyncio.timeout(within):
            while len(self.accepted) < wanted:
                await asyncio.sleep(0.01)

    def first_after(self, moment: float) -> float:
        """When the first order after a moment was accepted."""
        return min(at for at in self.accepted.values() if at > moment)
