"""Deadlines on bad days: time in which nobody could answer, or nobody could hear the answer, does not count."""

import asyncio
from collections.abc import Callable

import asyncpg
import pytest

import order_service.bootstrap as order
from messaging.runtime.roles import Sweep
from messaging.runtime.settings import Role
from messaging.runtime.transport import LoggingTransport
from order_service.application.sweep_deadlines import SweepDeadlines
from order_service.settings import OrderSettings
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.shop import ORDER, Shop, shop_on
from tests.real_parts.three_services import service_databases

WITHIN = 120


class _Watched(SweepDeadlines):
    """Says how many sweeps were made."""

    made = 0

    async def __call__(self) -> int:
        """Sweep."""
        overdue = await super().__call__()
        _Watched.made += 1
        return overdue


async def _placed(shop: Shop, count: int) -> list[str]:
    return [(await shop.post("/orders", json=ORDER))["orderId"] for _ in range(count)]


async def _run(database: str, *statements: str) -> None:
    connection = await asyncpg.connect(database)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def _an_hour_passes(database: str) -> None:
    """Longer than any step may take."""
    await _run(
        database,
        "update orders set deadline = deadline - interval '1 hour'",
        "update outbox set created_at = created_at - interval '1 hour'",
    )


async def test_orders_that_are_placed_while_the_broker_is_away_for_long_are_fulfilled_when_it_is_back(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "SweepDeadlines", _Watched)
    async with (
        service_databases(postgres) as databases,
        asyncio.timeout(WITHIN),
        shop_on(databases, monkeypatch) as shop,
    ):
        orders = await _placed(shop, 20)
        await _an_hour_passes(databases["order"])
        seen_to = _Watched.made + 2
        while _Watched.made < seen_to:
            await asyncio.sleep(0.01)
        assert await shop.count("order", "orders where status = 'PENDING'") == 20

        async with shop.broker.delivering():
            for order_id in orders:
                await shop.settled(order_id, "CONFIRMED")


async def test_orders_that_waited_while_every_process_was_down_are_fulfilled_when_they_run_again(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service_databases(postgres) as databases, asyncio.timeout(WITHIN):
        async with shop_on(databases, monkeypatch) as shop:
            orders = await _placed(shop, 20)
        await _an_hour_passes(databases["order"])

        async with shop_on(databases, monkeypatch) as shop, shop.broker.delivering():
            for order_id in orders:
                await shop.settled(order_id, "CONFIRMED")


async def test_an_order_that_is_overdue_as_the_consumer_starts_is_taken_back_by_its_first_sweep(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def once_an_hour(name: str, _: float, action: Callable[[], object]) -> Sweep:
        return Sweep(name, 3600, action)  # type: ignore[arg-type]

    async with service_databases(postgres) as databases, asyncio.timeout(WITHIN):
        async with shop_on(databases, monkeypatch) as shop:
            await _placed(shop, 1)
        await _run(databases["order"], "delete from outbox")
        await _an_hour_passes(databases["order"])
        monkeypatch.setattr(order, "Sweep", once_an_hour)
        settings = OrderSettings(order_database_url=databases["order"])

        async with order.order_service(settings, LoggingTransport(), frozenset({Role.CONSUMER})):
            while await shop.count("order", "orders where status = 'CANCELLING'") == 0:
                await asyncio.sleep(0.01)
