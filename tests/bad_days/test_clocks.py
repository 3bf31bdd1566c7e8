"""Machines whose clocks differ: by seconds, as they do, and by an hour, as one that was set wrong does. Nothing that an
order goes through depends on them."""

import asyncio
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from tests.real_parts.postgres import PostgresServer
from tests.real_parts.shop import ORDER, Shop, shop_on
from tests.real_parts.three_services import service_databases

DEAR = {"items": [{"productId": "p1", "quantity": 900}]}
STEP_TIMEOUT = 60

# By how many seconds the clocks of the API, of the orders' consumer, of the inventory and of the payments are wrong.
CLOCKS = [(5, -5, 3, -3), (-5, 5, -3, 3), (3600, -3600, 1800, -1800), (-3600, 3600, -1800, 1800)]


async def _whole_lives(shop: Shop) -> list[dict[str, Any]]:
    """One order of each kind that a customer can bring about, to its end."""
    completed, taken_back, declined = [
        (await shop.post("/orders", json=body))["orderId"] for body in (ORDER, ORDER, DEAR)
    ]
    at_once = (await shop.post("/orders", json=ORDER))["orderId"]
    await shop.post(f"/orders/{at_once}/cancel")
    await shop.settled(completed, "CONFIRMED")
    await shop.settled(taken_back, "CONFIRMED")
    await shop.post(f"/orders/{completed}/complete")
    await shop.post(f"/orders/{taken_back}/cancel")
    return [
        await shop.settled(completed, "COMPLETED"),
        await shop.settled(taken_back, "CANCELLED"),
        await shop.settled(declined, "REJECTED"),
        await shop.settled(at_once, "CANCELLED"),
    ]


async def test_whatever_the_clocks_say_orders_live_their_lives_as_if_they_agreed(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service_databases(postgres) as databases:
        for clocks in CLOCKS:
            async with (
                asyncio.timeout(120),
                shop_on(databases, monkeypatch, clocks=clocks, step_timeout=STEP_TIMEOUT) as shop,
            ):
                waiting = (await shop.post("/orders", json=ORDER))["orderId"]
                in_time = f"deadline between now() and now() + interval '{STEP_TIMEOUT} s'"
                assert await shop.count("order", f"orders where {in_time}") == 1, f"{clocks}: the deadline follows them"

                async with shop.broker.delivering():
                    await shop.settled(waiting, "CONFIRMED")
                    for ended in await _whole_lives(shop):
                        times = [datetime.fromisoformat(entry["at"]) for entry in ended["timeline"]]
                        assert all(before <= after for before, after in pairwise(times)), f"{clocks}: {times}"
                for service in databases:
                    parked = await shop.count(service, "parked"), await shop.count(service, "dead_letters")
                    assert parked == (0, 0), f"{clocks}: {service} parked {parked[0]} records and buried {parked[1]}"
