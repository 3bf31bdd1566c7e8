"""Everything in one process: killed again and again, raced by cancellations, and sold out."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import httpx

from tests.bad_days.fulfilment_load import Customers
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.requests_at_once import post_at_once
from tests.real_parts.three_services import PRODUCTS, all_in_one

ORDERS = 300
KILLS = 4


async def test_every_order_settles_and_the_sums_agree_when_the_process_is_killed_at_random(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    rng = random.Random(5)
    environment = {"STEP_TIMEOUT_SECONDS": "60", "PAYMENT_RECOVERY_SECONDS": "3600"}
    async with all_in_one(postgres, tmp_path, **environment) as services:
        customers = Customers(lambda: services.url("order"), rng)
        placing = asyncio.create_task(customers.place(ORDERS))
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.1, 1.0))  # the moment of the kill is the scenario
            services.kill("order")
            await asyncio.to_thread(services.start, "order")
        await placing
        await services.until_settled(ORDERS)
        audit = await services.audit()

    audit.assert_sums_agree()
    assert {str(row["id"]) for row in audit.orders} == set(customers.accepted)


async def test_of_a_thousand_orders_for_the_last_ten_pieces_exactly_ten_are_confirmed(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    body = {"items": [{"productId": "scarce", "quantity": 1}]}
    async with all_in_one(postgres, tmp_path) as services:
        answers = await post_at_once([f"{services.url('order')}/orders"] * 1000, body)
        statuses = await services.until_settled(1000)
        audit = await services.audit()

    assert {answer.status_code for answer in answers} == {201}
    assert statuses == {"CONFIRMED": PRODUCTS["scarce"][1], "REJECTED": 1000 - PRODUCTS["scarce"][1]}
    audit.assert_sums_agree()


async def test_a_cancellation_at_any_moment_leaves_an_order_either_cancelled_or_untouched(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    rng = random.Random(6)
    async with all_in_one(postgres, tmp_path, SIMULATED_DELAY_SECONDS="0.05") as services:
        url = services.url("order")
        placed = await post_at_once([f"{url}/orders"] * 200, {"items": [{"productId": "p1", "quantity": 1}]})
        orders = [answer.json()["orderId"] for answer in placed]

        async def cancel(client: httpx.AsyncClient, order_id: str) -> int:
            await asyncio.sleep(rng.uniform(0, 0.5))  # the moment is the scenario
            return (await client.post(f"{url}/orders/{order_id}/cancel")).status_code

        async with httpx.AsyncClient(timeout=httpx.Timeout(120, pool=None)) as client:
            answers = await asyncio.gather(*(cancel(client, order_id) for order_id in orders[:150]))
        statuses = await services.until_settled(200)
        audit = await services.audit()

    assert set(answers) == {202}, f"every one of them could still be cancelled: {Counter(answers)}"
    assert statuses == {"CANCELLED": 150, "CONFIRMED": 50}
    audit.assert_sums_agree()
