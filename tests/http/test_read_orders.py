"""GET /orders and GET /orders/{orderId}."""

from typing import Any

import httpx
import pytest
from uuid_utils.compat import uuid7

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import Creation
from order_service.domain.order_status import OrderStatus
from order_service.infrastructure.memory_orders import MemoryOrders
from tests.domain.orders import order_in
from tests.http.answers import assert_error, placed
from tests.http.conftest import api_on


async def _listed(api: httpx.AsyncClient, **parameters: str | int) -> dict[str, Any]:
    answer = await api.get("/orders", params=parameters)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_a_completed_order_shows_its_prices_its_total_and_its_life() -> None:
    store, order = MemoryOrders(MemoryOutbox()), order_in(OrderStatus.COMPLETED)
    await store.create(Creation(order, ()))

    async with api_on(store) as api:
        answer = await api.get(f"/orders/{order.id}")

    assert answer.json() == {
        "orderId": str(order.id),
        "status": "COMPLETED",
        "reason": None,
        "items": [
            {"productId": "p1", "quantity": 2, "unitPrice": {"amount": "12.50", "currency": "EUR"}},
            {"productId": "p2", "quantity": 3, "unitPrice": {"amount": "0.99", "currency": "EUR"}},
        ],
        "total": {"amount": "27.97", "currency": "EUR"},
        "customerId": "c1",
        "paymentStatus": "CAPTURED",
        "stockStatus": "SHIPPED",
        "version": 4,
        "createdAt": "2026-11-23T18:43:16.000123Z",
        "updatedAt": "2026-11-23T18:43:17.000123Z",
        "timeline": [
            {"at": "2026-11-23T18:43:16.000123Z", "status": "PENDING", "detail": None},
            {"at": "2026-11-23T18:43:17.000123Z", "status": "PENDING", "detail": "stock reserved"},
            {"at": "2026-11-23T18:43:17.000123Z", "status": "CONFIRMED", "detail": "payment captured"},
            {"at": "2026-11-23T18:43:17.000123Z", "status": "COMPLETED", "detail": None},
        ],
    }


async def test_a_stuck_order_says_what_is_not_settled() -> None:
    store, order = MemoryOrders(MemoryOutbox()), order_in(OrderStatus.STUCK)
    await store.create(Creation(order, ()))

    async with api_on(store) as api:
        answer = (await api.get(f"/orders/{order.id}")).json()

    assert (answer["status"], answer["stockStatus"], answer["paymentStatus"]) == ("STUCK", "RELEASING", None)
    assert answer["reason"] == "cancelled by the customer"
    assert answer["timeline"][-1]["detail"] == "the stock may still be reserved"


async def test_an_order_that_is_not_there_is_named(api: httpx.AsyncClient) -> None:
    missing = uuid7()

    assert_error(await api.get(f"/orders/{missing}"), 404, "Not found", {"orderId": f"there is no order {missing}"})


@pytest.mark.parametrize(
    ("order_id", "sentence"),
    [
        ("1", "orderId must be a UUID"),
        ("p1", "orderId must be a UUID"),
        ("%00", "orderId must be a UUID"),
        ("%F0%9F%98%80", "orderId must be a UUID"),
        ("019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9", "orderId must be a UUID"),
        ("9b2f6c1e-6c1e-4c8a-9d3e-0b5f6a7c8d9e", "orderId must be a UUID of version 7"),
        ("00000000-0000-0000-0000-000000000000", "orderId must be a UUID of version 7"),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/cancel"), ("POST", "/complete")])
async def test_what_is_no_order_id_is_told_so(
    memory_api: httpx.AsyncClient, method: str, path: str, order_id: str, sentence: str
) -> None:
    answer = await memory_api.request(method, f"/orders/{order_id}{path}")

    assert_error(answer, 400, "Validation failed", {"orderId": sentence})


async def test_without_orders_the_list_is_empty(api: httpx.AsyncClient) -> None:
    assert await _listed(api) == {"orders": [], "nextCursor": None}


async def test_orders_are_listed_newest_first_as_they_are_read_one_by_one(api: httpx.AsyncClient) -> None:
    placed_ids = [await placed(api) for _ in range(3)]

    page = await _listed(api)

    assert page["nextCursor"] is None
    assert page["orders"] == [(await api.get(f"/orders/{order_id}")).json() for order_id in reversed(placed_ids)]


async def test_walking_the_pages_meets_every_order_once_while_new_ones_arrive(api: httpx.AsyncClient) -> None:
    at_first = [await placed(api) for _ in range(20)]
    seen: list[str] = []
    sizes: list[int] = []
    cursor: str | None = None

    while cursor is not None or not sizes:
        page = await _listed(api, limit=6, **({"cursor": cursor} if cursor else {}))
        seen += [order["orderId"] for order in page["orders"]]
        sizes.append(len(page["orders"]))
        cursor = page["nextCursor"]
        await placed(api)

    assert seen == at_first[::-1]
    assert sizes == [6, 6, 6, 2]


async def test_the_last_page_may_be_full_and_has_no_cursor(api: httpx.AsyncClient) -> None:
    for _ in range(4):
        await placed(api)
    first = await _listed(api, limit=2)
    last = await _listed(api, limit=2, cursor=first["nextCursor"])

    assert (len(first["orders"]), len(last["orders"]), last["nextCursor"]) == (2, 2, None)


async def test_a_page_can_be_of_one_status(api: httpx.AsyncClient) -> None:
    ids = [await placed(api) for _ in range(5)]
    for order_id in ids[::2]:
        await api.post(f"/orders/{order_id}/cancel")

    first = await _listed(api, status="CANCELLING", limit=2)
    last = await _listed(api, status="CANCELLING", limit=2, cursor=first["nextCursor"])

    assert [order["orderId"] for page in (first, last) for order in page["orders"]] == ids[::2][::-1]
    assert [order["orderId"] for order in (await _listed(api, status="PENDING"))["orders"]] == [ids[3], ids[1]]
    assert (await _listed(api, status="COMPLETED"))["orders"] == []


async def test_a_page_has_twenty_orders_unless_it_is_asked_for_up_to_a_hundred(memory_api: httpx.AsyncClient) -> None:
    for _ in range(101):
        await placed(memory_api)

    assert len((await _listed(memory_api))["orders"]) == 20
    assert len((await _listed(memory_api, limit=1))["orders"]) == 1
    assert len((await _listed(memory_api, limit=100))["orders"]) == 100


STATUSES = "'PENDING', 'CONFIRMED', 'CANCELLING', 'STUCK', 'REJECTED', 'CANCELLED' or 'COMPLETED'"
CURSOR = "must be the nextCursor of an earlier page"


@pytest.mark.parametrize(
    ("query", "field", "sentence"),
    [
        ("limit=0", "limit", "must be at least 1"),
        ("limit=-1", "limit", "must be at least 1"),
        ("limit=101", "limit", "must be at most 100"),
        ("limit=9999999999999999999999", "limit", "must be at most 100"),
        ("limit=ten", "limit", "must be a whole number"),
        ("limit=1.5", "limit", "must be a whole number"),
        ("limit=", "limit", "must be a whole number"),
        (f"limit={'9' * 5000}", "limit", "must be a whole number of a sensible size"),
        ("status=SHIPPED", "status", f"must be one of {STATUSES}"),
        ("status=pending", "status", f"must be one of {STATUSES}"),
        ("status=", "status", f"must be one of {STATUSES}"),
        ("status=%00", "status", f"must be one of {STATUSES}"),
        ("cursor=", "cursor", CURSOR),
        ("cursor=x", "cursor", CURSOR),
        ("cursor=AAAAAAAAAAAAAAAAAAAAAA", "cursor", CURSOR),
        ("cursor=AZqx8GwefIqdPgtfanyNng", "cursor", None),
        ("cursor=AZqx8GwefIqdPgtfanyNnh", "cursor", CURSOR),
        ("cursor=AZqx8GwefIqdPgtfanyNng==", "cursor", CURSOR),
        ("cursor=%20AZqx8GwefIqdPgtfanyNng", "cursor", CURSOR),
        ("cursor=%C3%A4%F0%9F%98%80", "cursor", CURSOR),
        ("cursor=%00%FF", "cursor", CURSOR),
        (f"cursor={'A' * 64}", "cursor", CURSOR),
        (f"cursor={'A' * 65}", "cursor", "must have at most 64 characters"),
    ],
)
async def test_a_wrong_parameter_is_told_what_it_must_be(
    memory_api: httpx.AsyncClient, query: str, field: str, sentence: str | None
) -> None:
    answer = await memory_api.get(f"/orders?{query}")

    if sentence is None:
        assert answer.status_code == 200
    else:
        assert_error(answer, 400, "Validation failed", {field: f"{field} {sentence}"})


async def test_every_wrong_parameter_is_named_at_once(memory_api: httpx.AsyncClient) -> None:
    sentences = assert_error(await memory_api.get(f"/orders?limit=0&status=x&cursor={'x' * 65}"), 400)

    assert sentences.keys() == {"limit", "status", "cursor"}
