"""Two hundred copies of one request race, over two processes of the service: there is one order and one event."""

import random
from pathlib import Path

import asyncpg

from tests.real_parts.order_process import ORDER, OrderProcess
from tests.real_parts.requests_at_once import post_at_once

COPIES = 200


async def test_two_hundred_racing_copies_of_one_idempotency_key_make_one_order_and_one_event(
    database: str, tmp_path: Path
) -> None:
    environment = {"ORDER_DATABASE_URL": database}
    api = ("serve", "order", "--roles", "api")
    with OrderProcess(tmp_path, environment, *api) as left, OrderProcess(tmp_path, environment, *api) as right:
        urls = [f"{left.url}/orders", f"{right.url}/orders"] * (COPIES // 2)
        answers = await post_at_once(urls, ORDER, [{"Idempotency-Key": "once"}] * COPIES)
    connection = await asyncpg.connect(database)
    orders = [str(row["id"]) for row in await connection.fetch("select id from orders")]
    events = [row["key"] for row in await connection.fetch("select key from outbox where topic = 'order-events'")]
    await connection.close()

    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["orderId"] for answer in answers} == set(orders)
    assert len(orders) == 1
    assert events == orders


async def test_many_keys_racing_in_any_order_over_two_processes_make_one_order_each(
    database: str, tmp_path: Path
) -> None:
    environment = {"ORDER_DATABASE_URL": database}
    api = ("serve", "order", "--roles", "api")
    copies = [f"key-{number}" for number in range(40)] * 10
    random.shuffle(copies)
    with OrderProcess(tmp_path, environment, *api) as left, OrderProcess(tmp_path, environment, *api) as right:
        urls = [f"{left.url}/orders", f"{right.url}/orders"] * (len(copies) // 2)
        answers = await post_at_once(urls, ORDER, [{"Idempotency-Key": key} for key in copies])
    connection = await asyncpg.connect(database)
    orders = {row["idempotency_key"]: str(row["id"]) for row in await connection.fetch("select * from orders")}
    events = await connection.fetchval("select count(*) from outbox where topic = 'order-events'")
    await connection.close()

    answered = {(key, answer.json().get("orderId", answer.text)) for key, answer in zip(copies, answers, strict=True)}
    assert answered == set(orders.items())
    assert events == len(orders) == 40
