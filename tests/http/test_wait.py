"""GET /orders/{orderId} with `Prefer: wait=N`: the answer comes when the order is settled, or after N seconds."""

import asyncio

import httpx
import pytest
from uuid_utils.compat import uuid7

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import Creation
from order_service.api.routes import LONGEST_WAIT, _seconds_to_wait
from order_service.domain.fulfilment import StockRejected, StockReleased
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import OrderStatus
from order_service.infrastructure.memory_orders import MemoryOrders
from tests.domain.orders import order_in
from tests.http.answers import assert_error
from tests.http.conftest import api_on, fulfil_on

DEADLINE = 20.0


class WatchedOrders(MemoryOrders):
    """A store that tells when an order was looked at twice: whoever does that waits for it."""

    def __init__(self) -> None:
        super().__init__(MemoryOutbox())
        self.looks = 0
        self.looked_twice = asyncio.Event()

    async def find(self, order_id: OrderId) -> Order | None:
        """Look."""
        self.looks += 1
        if self.looks >= 2:
            self.looked_twice.set()
        return await super().find(order_id)

    async def is_waited_for(self, request: asyncio.Task[httpx.Response]) -> None:
        """Return when the request has found the order unsettled, and looks again."""
        looked_twice = asyncio.create_task(self.looked_twice.wait())
        await asyncio.wait({request, looked_twice}, return_when=asyncio.FIRST_COMPLETED)
        assert not request.done(), f"it was answered at once: {request.result().text}"


async def test_the_answer_comes_when_the_order_is_settled() -> None:
    store, order = WatchedOrders(), order_in(OrderStatus.PENDING)
    await store.create(Creation(order, ()))

    async with asyncio.timeout(DEADLINE), api_on(store) as api:
        waiting = asyncio.create_task(api.get(f"/orders/{order.id}", headers={"Prefer": "wait=30"}))
        await store.is_waited_for(waiting)
        await fulfil_on(store)(order.id, StockRejected("sold out"))
        answer = await waiting

    assert answer.headers["Preference-Applied"] == "wait=30"
    assert (answer.json()["status"], answer.json()["reason"]) == ("REJECTED", "sold out")


async def test_an_order_that_is_on_its_way_back_is_not_settled_until_it_is_there() -> None:
    store, order = WatchedOrders(), order_in(OrderStatus.CANCELLING)
    await store.create(Creation(order, ()))

    async with asyncio.timeout(DEADLINE), api_on(store) as api:
        waiting = asyncio.create_task(api.get(f"/orders/{order.id}", headers={"Prefer": "wait=30"}))
        await store.is_waited_for(waiting)
        cancelling = await api.post(f"/orders/{order.id}/cancel")
        await fulfil_on(store)(order.id, StockReleased())
        answer = await waiting
        cancelled = await api.post(f"/orders/{order.id}/cancel")

    assert (cancelling.status_code, cancelling.json()["status"]) == (202, "CANCELLING")
    assert answer.json()["status"] == "CANCELLED"
    assert (cancelled.status_code, cancelled.json()) == (200, answer.json())


async def test_an_order_that_does_not_settle_is_answered_as_it_is() -> None:
    store, order = MemoryOrders(MemoryOutbox()), order_in(OrderStatus.PENDING)
    await store.create(Creation(order, ()))

    async with asyncio.timeout(DEADLINE), api_on(store) as api:
        answer = await api.get(f"/orders/{order.id}", headers={"Prefer": "wait=0"})

    assert (answer.status_code, answer.json()["status"]) == (200, "PENDING")
    assert answer.headers["Preference-Applied"] == "wait=0"


async def test_when_the_process_stops_the_order_is_answered_as_it_is_at_once() -> None:
    store, order = WatchedOrders(), order_in(OrderStatus.PENDING)
    await store.create(Creation(order, ()))
    stopping = asyncio.Event()

    async with asyncio.timeout(DEADLINE), api_on(store, stopping) as api:
        held = asyncio.create_task(api.get(f"/orders/{order.id}", headers={"Prefer": "wait=30"}))
        await store.is_waited_for(held)
        stopping.set()
        answers = [await held, await api.get(f"/orders/{order.id}", headers={"Prefer": "wait=30"})]

    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(200, "PENDING")] * 2


@pytest.mark.parametrize("status", [status for status in OrderStatus if status not in ("PENDING", "CANCELLING")])
async def test_a_settled_order_is_answered_at_once(status: OrderStatus) -> None:
    store, order = MemoryOrders(MemoryOutbox()), order_in(status)
    await store.create(Creation(order, ()))

    async with asyncio.timeout(DEADLINE), api_on(store) as api:
        answer = await api.get(f"/orders/{order.id}", headers={"Prefer": "wait=30"})

    assert answer.json()["status"] == status


async def test_without_the_preference_nothing_is_waited_for_or_said_of_it(memory_api: httpx.AsyncClient) -> None:
    missing = uuid7()

    answer = await memory_api.get(f"/orders/{missing}", headers={"Prefer": "wait=30"})
    plain = await memory_api.get("/orders", headers={"Prefer": "wait=30"})

    assert_error(answer, 404, "Not found")
    assert "Preference-Applied" not in plain.headers


@pytest.mark.parametrize(
    ("preferences", "seconds"),
    [
        (["wait=5"], 5),
        (["respond-async, wait=10"], 10),
        (["respond-async", "wait = 7"], 7),
        (['wait="3"'], 3),
        (["wait=31"], LONGEST_WAIT),
        (["wait=999999999"], LONGEST_WAIT),
        (["wait=-1"], None),
        (["wait=soon"], None),
        (["waits=5"], None),
        ([], None),
    ],
)
def test_what_is_not_understood_is_ignored_and_what_is_too_long_is_cut(
    preferences: list[str], seconds: int | None
) -> None:
    assert _seconds_to_wait(preferences) == seconds
