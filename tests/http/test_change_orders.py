"""POST /orders/{orderId}/cancel and POST /orders/{orderId}/complete."""

import asyncio

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


async def test_cancelling_answers_the_order_as_it_is_now(api: httpx.AsyncClient) -> None:
    order_id = await placed(api)

    answer = await api.post(f"/orders/{order_id}/cancel")

    assert answer.status_code == 202
    order = answer.json()
    assert (order["status"], order["reason"], order["version"]) == ("CANCELLING", "cancelled by the customer", 2)
    assert (order["stockStatus"], order["paymentStatus"]) == ("RELEASING", None)
    assert [(entry["status"], entry["detail"]) for entry in order["timeline"]] == [
        ("PENDING", None),
        ("CANCELLING", "cancelled by the customer"),
    ]
    assert (await api.get(f"/orders/{order_id}")).json() == order


async def test_cancelling_again_is_answered_alike_and_changes_nothing(api: httpx.AsyncClient) -> None:
    order_id = await placed(api)
    first = await api.post(f"/orders/{order_id}/cancel")

    again = await api.post(f"/orders/{order_id}/cancel")

    assert (again.status_code, again.content) == (202, first.content)


async def test_cancellations_that_race_are_one(api: httpx.AsyncClient) -> None:
    order_id = await placed(api)

    answers = await asyncio.gather(*(api.post(f"/orders/{order_id}/cancel") for _ in range(20)))

    assert {(answer.status_code, answer.json()["version"]) for answer in answers} == {(202, 2)}


async def test_a_body_does_not_matter(memory_api: httpx.AsyncClient) -> None:
    order_id = await placed(memory_api)

    assert (await memory_api.post(f"/orders/{order_id}/cancel", content=b"\xff{")).status_code == 202


@pytest.mark.parametrize("what", ["cancel", "complete"])
async def test_what_is_not_there_cannot_be_changed(api: httpx.AsyncClient, what: str) -> None:
    missing = uuid7()

    assert_error(
        await api.post(f"/orders/{missing}/{what}"), 404, "Not found", {"orderId": f"there is no order {missing}"}
    )


async def test_a_pending_order_cannot_be_completed_yet(api: httpx.AsyncClient) -> None:
    order_id = await placed(api)

    answer = await api.post(f"/orders/{order_id}/complete")

    assert_error(answer, 409, "Conflict", {"status": f"order {order_id} is PENDING and cannot become COMPLETED"})
    assert (await api.get(f"/orders/{order_id}")).json()["version"] == 1


@pytest.mark.parametrize(
    ("status", "what", "code", "becomes"),
    [
        (OrderStatus.CONFIRMED, "complete", 200, "COMPLETED"),
        (OrderStatus.COMPLETED, "complete", 200, "COMPLETED"),
        (OrderStatus.PENDING, "complete", 409, "PENDING"),
        (OrderStatus.CANCELLING, "complete", 409, "CANCELLING"),
        (OrderStatus.STUCK, "complete", 409, "STUCK"),
        (OrderStatus.CANCELLED, "complete", 409, "CANCELLED"),
        (OrderStatus.REJECTED, "complete", 409, "REJECTED"),
        (OrderStatus.PENDING, "cancel", 202, "CANCELLING"),
        (OrderStatus.CONFIRMED, "cancel", 202, "CANCELLING"),
        (OrderStatus.CANCELLING, "cancel", 202, "CANCELLING"),
        (OrderStatus.STUCK, "cancel", 202, "STUCK"),
        (OrderStatus.CANCELLED, "cancel", 200, "CANCELLED"),
        (OrderStatus.REJECTED, "cancel", 409, "REJECTED"),
        (OrderStatus.COMPLETED, "cancel", 409, "COMPLETED"),
    ],
)
async def test_what_an_order_allows_depends_on_its_status(
    status: OrderStatus, what: str, code: int, becomes: str
) -> None:
    store, order = MemoryOrders(MemoryOutbox()), order_in(status)
    await store.create(Creation(order, ()))

    async with api_on(store) as api:
        answer = await api.post(f"/orders/{order.id}/{what}")
        now = (await api.get(f"/orders/{order.id}")).json()

    assert (answer.status_code, now["status"]) == (code, becomes)
    assert now["version"] == order.version + (becomes != status), "a repeat is no new version"
    if answer.status_code == 409:
        assert_error(answer, 409, "Conflict")
    else:
        assert answer.json() == now
