"""The payment gateway is away: orders wait for it, or their time runs out and they are taken back."""

import asyncio
from decimal import Decimal
from pathlib import Path

import httpx

from tests.real_parts.order_process import ORDER
from tests.real_parts.payment_gateway import real_gateway
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.three_services import all_in_one


async def test_orders_wait_for_the_gateway_or_are_taken_back_and_its_books_agree_with_ours(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with real_gateway() as gateway:
        environment = {"PAYMENT_GATEWAY": gateway.url, "STEP_TIMEOUT_SECONDS": "4"}
        async with all_in_one(postgres, tmp_path, **environment) as services:
            url = services.url("order")
            async with httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(120, pool=None)) as client:
                gateway.stop()
                await _place(client, 20)
                await _until_one_is(client, "CANCELLING")  # the first of them have waited for too long
                await _place(client, 20)  # these have time left when it comes back
                gateway.start()
                await _place(client, 20)
            statuses = await services.until_settled(60)
            audit = await services.audit()

    assert set(statuses) == {"CONFIRMED", "CANCELLED"}, f"some were in time, and some were not: {dict(statuses)}"
    audit.assert_sums_agree()
    owed = {row["id"]: Decimal(row["total_minor"]) / 100 for row in audit.orders if row["status"] == "CONFIRMED"}
    assert gateway.ledger.balance() == owed


async def _place(client: httpx.AsyncClient, orders: int) -> None:
    answers = await asyncio.gather(*(client.post("/orders", json=ORDER) for _ in range(orders)))
    assert {answer.status_code for answer in answers} == {201}


async def _until_one_is(client: httpx.AsyncClient, status: str, within: float = 60.0) -> None:
    try:
        async with asyncio.timeout(within):
            while not (await client.get("/orders", params={"status": status})).json()["orders"]:
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"no order became {status} within {within:.0f} s") from None
