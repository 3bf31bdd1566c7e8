"""The three services over real databases, in this process, each on a machine with a clock of its own."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
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

ORDER = {"items": [{"productId": "p1", "quantity": 2}]}
SETTLED_WITHIN = {"Prefer": "wait=30"}


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
async def shop_on(
    databases: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    clocks: tuple[int, int, int, int] = (0, 0, 0, 0),
    step_timeout: float = 60,
) -> AsyncIterator[Shop]:
    """`clocks` is by how many seconds those of the API, the orders' consumer, the inventory and the payments are wrong.
    Messages are delivered while the shop's broker is `delivering`."""
    api_clock, consumer_clock, inventory_clock, payment_clock = clocks
    broker = InProcessBroker()
    orders = OrderSettings(order_database_url=databases["order"], step_timeout_seconds=step_timeout)
    stock = InventorySettings(inventory_database_url=databases["inventory"])
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        money = PaymentSettings(payment_database_url=databases["payment"], simulated_limit=1000, data_dir=folder)
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
