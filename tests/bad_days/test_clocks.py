"""Machines whose clocks differ: by seconds, as they do, and by an hour, as one that was set wrong does. Nothing that an
order goes through depends on them."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import ModuleType
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from uuid_utils.compat import uuid7

import inventory_service.bootstrap as inventory
import order_service.bootstrap as order
import payment_service.bootstrap as payment
from inventory_service.settings import InventorySettings
from messaging.brokerless.in_process import InProcessBroker
from messaging.runtime.settings import Role
from order_service.settings import OrderSettings
from payment_service.settings import PaymentSettings
from tests.http.conftest import client_of
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.three_services import service_databases

ORDER = {"items": [{"productId": "p1", "quantity": 2}]}
DEAR = {"items": [{"productId": "p1", "quantity": 900}]}
STEP_TIMEOUT = 60
SETTLED_WITHIN = {"Prefer": "wait=30"}

# By how many seconds the clocks of the API, of the orders' consumer, of the inventory and of the payments are wrong.
CLOCKS = [(5, -5, 3, -3), (-5, 5, -3, 3), (3600, -3600, 1800, -1800), (-3600, 3600, -1800, 1800)]


def _on_a_machine(monkeypatch: pytest.MonkeyPatch, bootstrap: ModuleType, wrong_by: int) -> None:
    """Whoever is started by `bootstrap` from now on reads this clock, also to make ids."""

    def new_id() -> UUID:
        return uuid7(nanoseconds=time.time_ns() + wrong_by * 10**9)

    monkeypatch.setattr(bootstrap, "now", lambda: datetime.now(UTC) + timedelta(seconds=wrong_by))
    monkeypatch.setattr(bootstrap, "uuid7", new_id)


@dataclass(frozen=True, slots=True)
class Shop:
    """The services, each on a machine of its own, as a customer sees them."""

    http: httpx.AsyncClient
    databases: Mapping[str, str]
    broker: InProcessBroker

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.http.post(path, **body)
        assert answer.status_code < 300, f"{path}: {answer.status_code} {answer.text}"
        found: dict[str, Any] = answer.json()
        return found

    async def settled(self, order_id: str, status: str) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.http.get(f"/orders/{order_id}", headers=SETTLED_WITHIN)).json()
        assert answer["status"] == status, f"it should be {status}: {answer}"
        return answer

    async def count(self, service: str, what: str) -> int:
        connection = await asyncpg.connect(self.databases[service])
        try:
            return int(await connection.fetchval(f"select count(*) from {what}"))
        finally:
            await connection.close()


@asynccontextmanager
async def _shop(
    databases: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, clocks: tuple[int, int, int, int]
) -> AsyncIterator[Shop]:
    api_clock, consumer_clock, inventory_clock, payment_clock = clocks
    broker = InProcessBroker()
    orders = OrderSettings(order_database_url=databases["order"], step_timeout_seconds=STEP_TIMEOUT)
    stock = InventorySettings(inventory_database_url=databases["inventory"])
    money = PaymentSettings(payment_database_url=databases["payment"], simulated_limit=1000)
    async with AsyncExitStack() as stack:
        _on_a_machine(monkeypatch, order, consumer_clock)
        await stack.enter_async_context(order.order_service(orders, broker, frozenset({Role.RELAY, Role.CONSUMER})))
        _on_a_machine(monkeypatch, inventory, inventory_clock)
        inventories = await stack.enter_async_context(inventory.inventory_service(stock, broker))
        _on_a_machine(monkeypatch, payment, payment_clock)
        await stack.enter_async_context(payment.payment_service(money, broker))
        _on_a_machine(monkeypatch, order, api_clock)
        api = await stack.enter_async_context(order.order_service(orders, broker, frozenset({Role.API})))
        async with client_of(inventories.app) as catalogue:
            price = {"price": {"amount": "1.25", "currency": "EUR"}, "onHand": 10_000}
            (await catalogue.put("/products/p1", json=price)).raise_for_status()
        yield Shop(await stack.enter_async_context(client_of(api.app)), databases, broker)


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
            async with asyncio.timeout(120), _shop(databases, monkeypatch, clocks) as shop:
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
