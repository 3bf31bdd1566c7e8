"""Each change by a person is in the audit trail, together with its effect. What changes nothing is not."""

import json
from typing import Any
from uuid import UUID

import httpx
import structlog

from inventory_service.application import PutProduct, SetPrice, add_sample_products
from inventory_service.infrastructure.postgres import PostgresStock
from messaging.ports.audit import WHO, done
from messaging.ports.failures import Failure
from messaging.ports.record import Record
from messaging.postgres.failures import PostgresFailures
from messaging.postgres.pool import open_pool, open_pools
from oms.databases import record
from oms.services import SERVICES
from order_service.domain.order import OrderId
from order_service.settings import OrderSettings
from shared_kernel.money import Money
from shared_kernel.product import ProductId
from tests.http.conftest import client_of, running_service
from tests.inventory_service.conftest import inventory_database, inventory_template
from tests.real_parts.order_process import ORDER
from tests.real_parts.query import rows
from tests.real_parts.relays import nobody

__all__ = ["inventory_database", "inventory_template"]

ORDER_ID = "019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e"


async def _trail(dsn: str) -> list[tuple[str, str, UUID | None, dict[str, Any]]]:
    """Everything but migrations."""
    query = "select who, action, order_id, detail from audit where action <> 'schema.migrate' order by id"
    return [(row[0], row[1], row[2], json.loads(row[3])) for row in await rows(dsn, query)]


async def _place(api: httpx.AsyncClient) -> str:
    return str((await api.post("/orders", json=ORDER)).json()["orderId"])


async def test_an_order_that_is_cancelled_completed_or_retried_by_somebody(database: str) -> None:
    async with running_service(database) as service, client_of(service.app) as api:
        cancelled, stuck, confirmed = [await _place(api) for _ in range(3)]
        for _ in range(2):
            assert (await api.post(f"/orders/{cancelled}/cancel")).status_code == 202
        assert (await api.post(f"/orders/{stuck}/complete")).status_code == 409
        await rows(
            database,
            "update orders set status = 'STUCK', deadline = null, stock_status = 'RELEASING' where id = $1",
            UUID(stuck),
        )
        await rows(
            database,
            "update orders set status = 'CONFIRMED', deadline = null, stock_status = 'RESERVED', total_minor = 1, "
            "currency = 'EUR', payment_status = 'CAPTURED' where id = $1",
            UUID(confirmed),
        )
        assert (await api.post(f"/orders/{confirmed}/complete")).status_code == 200
        token = WHO.set("anna")
        for _ in range(2):
            await service.stuck.retry(OrderId(UUID(stuck)))
        WHO.reset(token)

    assert await _trail(database) == [
        ("anonymous", "order.cancel", UUID(cancelled), {}),
        ("anonymous", "order.complete", UUID(confirmed), {}),
        ("anna", "order.retry", UUID(stuck), {}),
    ], "and nothing of an order that is placed, and of what changed nothing or was refused"


async def test_what_cannot_be_recorded_is_not_done(database: str) -> None:
    async with running_service(database) as service, client_of(service.app) as api:
        order_id = await _place(api)
        await rows(database, "alter table audit add constraint nothing_more check (action <> 'order.cancel')")
        with structlog.testing.capture_logs():
            answer = await api.post(f"/orders/{order_id}/cancel")
        order = (await api.get(f"/orders/{order_id}")).json()

    assert answer.status_code == 500
    assert order["status"] == "PENDING"


async def test_a_dead_letter_that_is_replayed_and_messages_that_are_retried(database: str) -> None:
    token = WHO.set("anna")
    async with open_pool(database) as pool:
        failures = PostgresFailures(pool)
        for offset, key in enumerate([ORDER_ID, ORDER_ID, "no order"]):
            await failures.bury(Failure(Record("inventory-events", 2, offset, key, {}, b"?"), "it is not JSON", 1))
        await failures.replay([letter.id for letter in await failures.dead_letters()])
        await failures.replay([1, 2, 3])  # they are no longer there
        await failures.retry(ORDER_ID)
        await failures.retry("unknown")
    WHO.reset(token)

    order_id = UUID(ORDER_ID)
    assert await _trail(database) == [
        *(
            (
                "anna",
                "dead-letter.replay",
                key,
                {"deadLetter": offset + 1, "topic": "inventory-events", "partition": 2, "offset": offset},
            )
            for offset, key in enumerate([order_id, order_id, None])
        ),
        ("anna", "parked.retry", order_id, {"key": ORDER_ID, "messages": 2}),
    ]


async def test_a_product_that_is_put_or_priced(inventory_database: str) -> None:
    async with open_pools(inventory_database) as pools:
        stock = PostgresStock(inventory_database, pools, nobody, connections=1, max_batch=1, max_waiting=1)
        for _ in range(2):
            await PutProduct(stock)(ProductId("p1"), price=Money.of("12.50", "EUR"), on_hand=3)
            await SetPrice(stock)(ProductId("p1"), Money.of("12.50", "EUR"))
        await SetPrice(stock)(ProductId("p1"), Money.of("12.51", "EUR"))
        for _ in range(2):
            await add_sample_products(stock)
        await stock.close()

    put, priced, *samples = await _trail(inventory_database)
    assert put == ("anonymous", "product.put", None, {"product": "p1", "price": "12.50 EUR", "onHand": 3})
    assert priced == ("anonymous", "product.set-price", None, {"product": "p1", "price": "12.51 EUR"})
    assert [(action, detail["product"]) for _, action, _, detail in samples] == [
        ("product.add-sample", name) for name in ("p2", "p3", "p4", "p5")
    ], "p1 was there already"


async def test_what_is_done_elsewhere_is_in_the_trail_or_in_the_log(database: str) -> None:
    token = WHO.set("anna")
    entry = done("topics.create", topics="order-events", replication=3)
    WHO.reset(token)
    with structlog.testing.capture_logs() as logs:
        await record(SERVICES["order"], OrderSettings(order_database_url=database), entry)
        await record(SERVICES["order"], OrderSettings(order_database_url="memory"), entry)
        await record(SERVICES["order"], OrderSettings(order_database_url="postgresql://a@127.0.0.1:1/b"), entry)

    assert await _trail(database) == [("anna", "topics.create", None, {"topics": "order-events", "replication": 3})]
    (told,) = logs
    assert (told["event"], told["who"], told["topics"]) == ("done, but not in the audit trail", "anna", "order-events")
