"""Reading orders page by page."""

import pytest
from uuid_utils.compat import uuid7

from messaging.changes import Changes
from messaging.memory_outbox import MemoryOutbox
from order_service.application.find_orders import FindOrders, OrderNotFound
from order_service.domain.order import OrderId
from order_service.infrastructure.memory_orders import MemoryOrders
from tests.domain.orders import placed_order


async def _orders(count: int) -> MemoryOrders:
    orders = MemoryOrders(MemoryOutbox())
    for _ in range(count):
        order = placed_order()
        await orders.commit(Changes(order, 0, order.events))
    return orders


@pytest.mark.parametrize(("count", "limit"), [(0, 2), (1, 2), (2, 2), (3, 2), (4, 2), (5, 2), (3, 100)])
async def test_pages_follow_one_another_until_there_are_no_more(count: int, limit: int) -> None:
    orders = await _orders(count)
    seen, before, pages = [], None, 0

    while True:
        page = await FindOrders(orders).page(status=None, before=before, limit=limit)
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
        await FindOrders(await _orders(1)).one(missing)

    assert not_found.value.order_id == missing
