"""Cancelling and completing: once, however often it is asked for, and never on stale state."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from uuid_utils.compat import uuid7

from messaging.changes import Changes, Outcome
from messaging.commit import Contention
from messaging.memory_outbox import MemoryOutbox
from order_service.application import cancel_order, complete_order
from order_service.application.cancel_order import CancelOrder
from order_service.application.complete_order import CompleteOrder
from order_service.application.find_orders import FindOrders, OrderNotFound
from order_service.application.ports import OrderChanges
from order_service.domain.order import IllegalTransition, Order, OrderId, OrderStatus
from order_service.infrastructure.memory_orders import MemoryOrders
from tests.domain.orders import LATER, order_in, placed_order, stepped


class RacedOrders(MemoryOrders):
    """A store in which something else happens to the order just before each of our commits, `races` times."""

    def __init__(self, races: int, change: Callable[[Order], Order]) -> None:
        self.outbox = MemoryOutbox()
        super().__init__(self.outbox)
        self._races = races
        self._change = change

    async def put(self, order: Order) -> OrderId:
        """Store an order as it is."""
        await super().commit(Changes(order, 0, order.events))
        return order.id

    async def commit(self, changes: OrderChanges) -> Outcome:
        """Lose the race first, if one is left."""
        if self._races:
            self._races -= 1
            current = await self.find(changes.aggregate.id)
            assert current is not None
            other = self._change(current)
            await super().commit(Changes(other, current.version, other.events))
        return await super().commit(changes)


def _unraced() -> RacedOrders:
    return RacedOrders(0, lambda order: order)


def _cancel(orders: RacedOrders) -> CancelOrder:
    return CancelOrder(orders, lambda: datetime.now(UTC), uuid7)


def test_deciding_to_cancel_is_pure() -> None:
    order, event_id = order_in(OrderStatus.PENDING), uuid7()

    first = cancel_order.decide(order, event_id=event_id, now=LATER)

    assert first == cancel_order.decide(order, event_id=event_id, now=LATER)
    assert first is not None
    assert (first.expected_version, first.aggregate.status, len(first.events)) == (1, OrderStatus.CANCELLED, 1)
    assert order.status is OrderStatus.PENDING


def test_deciding_to_complete_is_pure() -> None:
    order, event_id = order_in(OrderStatus.CONFIRMED), uuid7()

    first = complete_order.decide(order, event_id=event_id, now=LATER)

    assert first == complete_order.decide(order, event_id=event_id, now=LATER)
    assert first is not None
    assert (first.expected_version, first.aggregate.status, len(first.events)) == (2, OrderStatus.COMPLETED, 1)


async def test_cancelling_stores_the_order_and_its_event() -> None:
    orders = _unraced()
    order_id = await orders.put(placed_order())

    cancelled = await _cancel(orders)(order_id)

    stored = await FindOrders(orders).one(order_id)
    assert (stored.status, stored.version, stored.reason) == (OrderStatus.CANCELLED, 2, "cancelled by the customer")
    assert (cancelled.status, cancelled.version) == (stored.status, stored.version)
    assert orders.outbox.depth_and_age()[0] == 2


async def test_cancelling_again_changes_nothing_and_answers_the_same() -> None:
    orders = _unraced()
    order_id = await orders.put(placed_order())
    await _cancel(orders)(order_id)
    before = await FindOrders(orders).one(order_id)

    assert await _cancel(orders)(order_id) == before
    assert await FindOrders(orders).one(order_id) == before
    assert orders.outbox.depth_and_age()[0] == 2


async def test_completing_again_changes_nothing() -> None:
    orders = _unraced()
    order_id = await orders.put(order_in(OrderStatus.CONFIRMED))
    complete = CompleteOrder(orders, lambda: datetime.now(UTC), uuid7)

    first = await complete(order_id)
    again = await complete(order_id)

    assert (first.status, first.version) == (again.status, again.version) == (OrderStatus.COMPLETED, 3)
    assert orders.outbox.depth_and_age()[0] == 1


async def test_twenty_racing_cancellations_make_one_change_and_one_event() -> None:
    orders = _unraced()
    order_id = await orders.put(placed_order())

    answers = await asyncio.gather(*(_cancel(orders)(order_id) for _ in range(20)))

    assert {(order.status, order.version) for order in answers} == {(OrderStatus.CANCELLED, 2)}
    assert orders.outbox.depth_and_age()[0] == 2


@pytest.mark.parametrize("winner", [OrderStatus.CONFIRMED, OrderStatus.REJECTED])
async def test_a_cancellation_that_lost_its_race_is_decided_again_on_the_new_state(winner: OrderStatus) -> None:
    orders = RacedOrders(1, lambda order: stepped(order, winner))
    order_id = await orders.put(placed_order())

    with pytest.raises(IllegalTransition, match=f"is {winner} and cannot become CANCELLED"):
        await _cancel(orders)(order_id)

    assert (await FindOrders(orders).one(order_id)).status is winner


async def test_a_cancellation_that_lost_to_another_cancellation_is_a_repeat_of_it() -> None:
    orders = RacedOrders(1, lambda order: stepped(order, OrderStatus.CANCELLED))
    order_id = await orders.put(placed_order())

    cancelled = await _cancel(orders)(order_id)

    assert (cancelled.status, cancelled.version, cancelled.reason) == (OrderStatus.CANCELLED, 2, "not wanted")
    assert orders.outbox.depth_and_age()[0] == 2


def _touched(order: Order) -> Order:
    """A newer version of the order that can still be cancelled."""
    return replace(order, version=order.version + 1)


async def test_a_few_lost_races_do_not_stop_a_cancellation() -> None:
    orders = RacedOrders(7, _touched)
    order_id = await orders.put(placed_order())

    assert (await _cancel(orders)(order_id)).version == 1 + 7 + 1


async def test_an_order_that_never_rests_cannot_be_cancelled() -> None:
    orders = RacedOrders(8, _touched)
    order_id = await orders.put(placed_order())

    with pytest.raises(Contention):
        await _cancel(orders)(order_id)

    assert (await FindOrders(orders).one(order_id)).status is OrderStatus.PENDING


async def test_an_order_that_is_not_there_can_be_neither_cancelled_nor_completed() -> None:
    orders, missing = _unraced(), OrderId(uuid7())

    for change in (_cancel(orders), CompleteOrder(orders, lambda: datetime.now(UTC), uuid7)):
        with pytest.raises(OrderNotFound, match=str(missing)):
            await change(missing)


@pytest.mark.parametrize("status", [s for s in OrderStatus if s not in (OrderStatus.CONFIRMED, OrderStatus.COMPLETED)])
async def test_only_a_confirmed_order_can_be_completed(status: OrderStatus) -> None:
    orders = _unraced()
    order_id = await orders.put(order_in(status))

    with pytest.raises(IllegalTransition, match=f"is {status} and cannot become COMPLETED"):
        await CompleteOrder(orders, lambda: datetime.now(UTC), uuid7)(order_id)
