"""Two hundred copies of one request race, over two processes of the service: there is one order and one event."""

import asyncio
from pathlib import Path

import asyncpg
import httpx

from tests.real_parts.order_process import ORDER, OrderProcess

COPIES = 200


async def test_two_hundred_racing_copies_of_one_idempotency_key_make_one_order_and_one_event(
    database: str, tmp_path: Path
) -> None:
    environment = {"ORDER_DATABASE_URL": database}
    api = ("serve", "order", "--roles", "api")
    with OrderProcess(tmp_path, environment, *api) as left, OrderProcess(tmp_path, environment, *api) as right:
        async with httpx.AsyncClient(timeout=30) as client:
            answers = await asyncio.gather(
                *(
                    client.post(f"{service.url}/orders", json=ORDER, headers={"Idempotency-Key": "once"})
                    for service in (left, right)
                    for _ in range(COPIES // 2)
                )
            )
    connection = await asyncpg.connect(database)
    orders = [str(row["id"]) for row in await connection.fetch("select id from orders")]
    events = [row["key"] for row in await connection.fetch("select key from outbox")]
    await connection.close()

    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["orderId"] for answer in answers} == set(orders)
    assert len(orders) == 1
    assert events == orders
