"""Orders whose answer does not come: the sweep sees to all of them, and operators see those that it gave up."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from messaging.ports.changes import Outcome, StoreUnavailable
from order_service.application import sweep_deadlines
from order_service.application.ports import OrderChanges
from order_service.application.stuck_orders import StuckOrders
from order_service.application.sweep_deadlines import SweepDeadlines
from order_service.domain.order import OrderId
from order_service.domain.order_status import OrderStatus
from tests.application.use_cases import At, OrdersInMemory, fulfil_on
from tests.domain.orders import AT, STEP_TIMEOUT, order_in, placed_order

DEADLINE = AT + STEP_TIMEOUT


def _sweep(orders: OrdersInMemory, clock: At) -> SweepDeadlines:
    return SweepDeadlines(orders, clock, fulfil_on(orders, clock))


async def test_an_order_that_is_overdue_is_taken_back() -> None:
    orders, clock = OrdersInMemory(), At(DEADLINE)
    order_id = await orders.put(placed_order())

    assert await _sweep(orders, clock)() == 1

    order = await orders.get(order_id)
    assert (order.status, order.deadline) == (OrderStatus.CANCELLING, DEADLINE + STEP_TIMEOUT)
    assert orders.messages() == ["OrderCreatedEvent", "ReleaseStock"]


async def test_orders_that_are_in_time_are_left_alone() -> None:
    orders, clock = OrdersInMemory(), At(DEADLINE - timedelta(microseconds=1))
    for status in OrderStatus:
        await orders.put(order_in(status))

    assert await _sweep(orders, clock)() == 0
    assert orders.messages() == []


async def test_an_order_that_nobody_answers_ends_up_stuck_and_can_be_listed_and_tried_again() -> None:
    orders, clock = OrdersInMemory(), At()
    order_id = await orders.put(placed_order())
    sweep, stuck = _sweep(orders, clock), StuckOrders(orders, fulfil_on(orders, clock))

    while (order := await orders.get(order_id)).deadline:
        clock.now = order.deadline
        assert await sweep() == 1
    assert [order.id for order in await stuck.newest(10)] == [order_id]
    assert await stuck.count() == 1
    assert orders.messages() == ["OrderCreatedEvent", *["ReleaseStock"] * 6]

    assert (await stuck.retry(order_id)).status is OrderStatus.CANCELLING
    assert await stuck.newest(10) == []
    assert await stuck.count() == 0
    assert orders.messages()[-1] == "ReleaseStock"
    assert len(orders.messages()) == 8


@pytest.mark.parametrize("status", [status for status in OrderStatus if status is not OrderStatus.STUCK])
async def test_an_order_that_is_not_stuck_is_not_tried_again(status: OrderStatus) -> None:
    orders = OrdersInMemory()
    order_id = await orders.put(order_in(status))
    before = await orders.get(order_id)

    assert await StuckOrders(orders, fulfil_on(orders)).retry(order_id) == before
    assert orders.messages() == []


async def test_more_orders_than_one_look_finds_are_seen_to_in_one_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_deadlines, "AT_ONCE", 3)
    orders, clock = OrdersInMemory(), At(DEADLINE)
    for _ in range(10):
        await orders.put(placed_order())

    assert await _sweep(orders, clock)() == 10
    assert orders.messages().count("ReleaseStock") == 10


class _Poisoned(OrdersInMemory):
    """A store that cannot store one of its orders."""

    poisoned: OrderId

    async def commit(self, changes: OrderChanges) -> Outcome:
        """Refuse the poisoned one."""
        if changes.aggregate.id == self.poisoned:
            raise StoreUnavailable("not this one")
        return await super().commit(changes)

    async def overdue(self, now: datetime, limit: int) -> Sequence[OrderId]:
        """The poisoned one first."""
        return sorted(await super().overdue(now, limit), key=lambda order_id: order_id != self.poisoned)


async def test_an_order_that_cannot_be_seen_to_holds_up_no_other() -> None:
    orders, clock = _Poisoned(), At(DEADLINE)
    orders.poisoned, *others = [await orders.put(placed_order()) for _ in range(5)]

    with pytest.raises(ExceptionGroup, match="1 of 5 overdue orders: not this one"):
        await _sweep(orders, clock)()

    assert {(await orders.get(order_id)).status for order_id in others} == {OrderStatus.CANCELLING}
    assert (await orders.get(orders.poisoned)).status is OrderStatus.PENDING
