"""Reading orders: page by page, one of them, and one of them once it is settled."""

import asyncio

import pytest
from uuid_utils.compat import uuid7

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import Creation
from order_service.application.find_orders import FindOrders, OrderNotFound
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import OrderStatus
from order_service.infrastructure.memory_orders import MemoryOrders
from shared_kernel.caller import ANONYMOUS
from tests.application.use_cases import OrdersInMemory
from tests.domain.orders import order_in, placed_order, stepped


async def _orders(count: int) -> MemoryOrders:
    orders = MemoryOrders(MemoryOutbox())
    for _ in range(count):
        order = placed_order()
        await orders.create(Creation(order, order.events))
    return orders


@pytest.mark.parametrize(("count", "limit"), [(0, 2), (1, 2), (2, 2), (3, 2), (4, 2), (5, 2), (3, 100)])
async def test_pages_follow_one_another_until_there_are_no_more(count: int, limit: int) -> None:
    orders = await _orders(count)
    seen, before, pages = [], None, 0

    while True:
        page = await FindOrders(orders).page(ANONYMOUS, status=None, before=before, limit=limit)
        pages += 1
        assert len(page.orders) <= limit
        seen += [order.id for order in page.orders]
        if page.next_before is None:
            break
        before = page.next_before

    assert seen == [order.id for order in await orders.newest(status=None, before=None, limit=100)]
    assert pages == max(1, -(-count // limit)), "no page is empty but the only one"


async def test_a_missing_order_is_named() -> None:
    missing = OrderId(uuid7())

    with pytest.raises(OrderNotFound, match=str(missing)) as not_found:
        await FindOrders(await _orders(1)).one(missing, ANONYMOUS)

    assert not_found.value.order_id == missing


class _SettledAfter(OrdersInMemory):
    """A store in which an order stands as it is for so many looks, and then is cancelled."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = 0
        self._settled_after = looks

    async def find(self, order_id: OrderId) -> Order | None:
        """Look once more."""
        self.looks += 1
        order = await super().find(order_id)
        return stepped(order, OrderStatus.CANCELLED) if order and self.looks > self._settled_after else order


@pytest.mark.parametrize("status", OrderStatus)
async def test_an_order_that_waits_for_nobody_is_answered_at_the_first_look(status: OrderStatus) -> None:
    orders = _SettledAfter(1)
    order_id = await orders.put(order_in(status))

    async with asyncio.timeout(20):
        order = await FindOrders(orders).settled(order_id, ANONYMOUS, within=0)

    assert (order.status, orders.looks) == (status, 1)


async def test_an_order_is_answered_as_soon_as_it_is_settled() -> None:
    orders = _SettledAfter(3)
    order_id = await orders.put(placed_order())

    async with asyncio.timeout(20):
        order = await FindOrders(orders).settled(order_id, ANONYMOUS, within=3600)

    assert (order.status, orders.looks) == (OrderStatus.CANCELLED, 4)


async def test_an_order_that_does_not_settle_is_looked_at_again_and_answered_as_it_is() -> None:
    orders = _SettledAfter(10**6)
    order_id = await orders.put(placed_order())

    async with asyncio.timeout(20):
        order = await FindOrders(orders).settled(order_id, ANONYMOUS, within=0.5)

    assert order.status is OrderStatus.PENDING
    assert orders.looks >= 2


async def test_a_missing_order_is_not_waited_for() -> None:
    async with asyncio.timeout(20):
        with pytest.raises(OrderNotFound):
            await FindOrders(await _orders(1)).settled(OrderId(uuid7()), ANONYMOUS, within=3600)
