"""Customers behind a load balancer: they use only what the Service names, over connections that stay open."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(slots=True)
class Customers:
    """`failed` is whatever was not answered as on a good day. Nothing is tried again."""

    urls: Callable[[], Sequence[str]]
    order: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    at_once: int = 4
    pause: float = 0.25
    in_flight: Counter[str] = field(default_factory=Counter)
    orders: list[str] = field(default_factory=list)
    requests: int = 0
    failed: list[str] = field(default_factory=list)

    async def order_until(self, stop: asyncio.Event) -> None:
        """Place orders and read them until `stop` is set."""
        async with httpx.AsyncClient(timeout=60) as client:

            async def customer() -> None:
                while not stop.is_set():
                    placed = await self._asked(client, "POST", "/orders", 201)
                    if placed is not None:
                        self.orders.append(placed["orderId"])
                        await self._asked(client, "GET", f"/orders/{placed['orderId']}", 200)
                    await asyncio.sleep(self.pause)

            await asyncio.gather(*(customer() for _ in range(self.at_once)))

    async def _asked(self, client: httpx.AsyncClient, method: str, path: str, expected: int) -> Any:
        self.requests += 1
        urls = self.urls()
        if not urls:
            self.failed.append(f"{method} {path}: no pod is ready")
            return None
        url = random.choice(urls)
        self.in_flight[url] += 1
        try:
            response = await client.request(
                method,
                url + path,
                json=self.order if method == "POST" else None,
                headers=dict(self.headers),
            )
        except httpx.HTTPError as error:
            self.failed.append(f"{method} {path}: {type(error).__name__}: {error}")
            return None
        finally:
            self.in_flight[url] -= 1
        if response.status_code != expected:
            self.failed.append(f"{method} {path}: {response.status_code} {response.text}")
            return None
        return response.json()
