"""Cancelling and completing: once, however often it is asked for, and never on stale state."""

import asyncio

import pytest
from uuid_utils.compat import uuid7

from order_service.application.cancel_order import CancelOrder
from order_service.application.complete_order import CompleteOrder
from order_service.application.find_orders import FindOrders, OrderNotFound
from order_service.domain.order import OrderId
from order_service.domain.order_status import IllegalTransition, OrderStatus
from shared_kernel.caller import ANONYMOUS
from tests.application.use_cases import OrdersInMemory, RacedOrders, fulfil_on
from tests.domain.orders import order_in, placed_order, stepped


def _cancel(orders: OrdersInMemory) -> CancelOrder:
    return CancelOrder(fulfil_on(orders))


def _complete(orders: OrdersInMemory) -> CompleteOrder:
    return CompleteOrder(fulfil_on(orders))


async def test_cancelling_stores_the_order_and_what_undoes_it() -> None:
    orders = OrdersInMemory()
    order_id = await orders.put(placed_order())

    cancelled = await _cancel(orders)(order_id, ANONYMOUS)

    stored = await FindOrders(orders).one(order_id, ANONYMOUS)
    assert (stored.status, stored.version, stored.reason) == (OrderStatus.CANCELLING, 2, "cancelled by the customer")
    assert (cancelled.status, cancelled.version) == (stored.status, stored.version)
    assert orders.messages() == ["OrderCreatedEvent", "ReleaseStock"]


async def test_cancelling_a_confirmed_order_gives_the_money_back_as_well() -> None:
    orders = OrdersInMemory()
    order_id = await orders.put(order_in(OrderStatus.CONFIRMED))

    assert (await _cancel(orders)(order_id, ANONYMOUS)).status is OrderStatus.CANCELLING
    assert orders.messages() == ["RefundPayment", "ReleaseStock"]


@pytest.mark.parametrize("status", [OrderStatus.CANCELLING, OrderStatus.CANCELLED, OrderStatus.STUCK])
async def test_cancelling_again_changes_nothing_and_answers_the_order_as_it_is(status: OrderStatus) -> None:
    orders = OrdersInMemory()
    order_id = await orders.put(order_in(status))
    before = await orders.get(order_id)

    assert await _cancel(orders)(order_id, ANONYMOUS) == before
    assert await orders.get(order_id) == before
    assert orders.messages() == []


async def test_completing_ships_the_stock_once_however_often_it_is_asked_for() -> None:
    orders = OrdersInMemory()
    order_id = await orders.put(order_in(OrderStatus.CONFIRMED))

    first = await _complete(orders)(order_id, ANONYMOUS)
    again = await _complete(orders)(order_id, ANONYMOUS)

    assert (first.status, first.version) == (again.status, again.version) == (OrderStatus.COMPLETED, 4)
    assert orders.messages() == ["OrderCompletedEvent", "ShipStock"]


async def test_twenty_racing_cancellations_make_one_change_and_one_command() -> None:
    orders = OrdersInMemory()
    order_id = await orders.put(placed_order())

    answers = await asyncio.gather(*(_cancel(orders)(order_id, ANONYMOUS) for _ in range(20)))

    assert {(order.status, order.version) for order in answers} == {(OrderStatus.CANCELLING, 2)}
    assert orders.messages() == ["OrderCreatedEvent", "ReleaseStock"]


@pytest.mark.parametrize("winner", [OrderStatus.COMPLETED, OrderStatus.REJECTED])
async def test_a_cancellation_that_somebody_was_faster_than_is_decided_on_the_new_state(winner: OrderStatus) -> None:
    orders = RacedOrders(lambda order: stepped(order, winner))
    order_id = await orders.put(placed_order())

    with pytest.raises(IllegalTransition, match=f"is {winner} and cannot become CANCELLED"):
        await _cancel(orders)(order_id, ANONYMOUS)

    assert (await FindOrders(orders).one(order_id, ANONYMOUS)).status is winner


async def test_a_cancellation_that_comes_after_the_payment_takes_the_payment_back_too() -> None:
    """It was asked for while the order was PENDING, and its stock alone would have been released."""
    orders = RacedOrders(lambda order: stepped(order, OrderStatus.CONFIRMED))
    order_id = await orders.put(placed_order())

    assert (await _cancel(orders)(order_id, ANONYMOUS)).status is OrderStatus.CANCELLING

    assert orders.messages() == ["OrderCreatedEvent", "OrderConfirmedEvent", "RefundPayment", "ReleaseStock"]


async def test_a_cancellation_that_comes_after_another_cancellation_is_a_repeat_of_it() -> None:
    orders = RacedOrders(lambda order: stepped(order, OrderStatus.CANCELLED))
    order_id = await orders.put(placed_order())

    cancelled = await _cancel(orders)(order_id, ANONYMOUS)

    assert (cancelled.status, cancelled.version) == (OrderStatus.CANCELLED, 3)
    assert orders.messages() == ["OrderCreatedEvent", "OrderCancelledEvent"]


async def test_an_order_that_is_not_there_can_be_neither_cancelled_nor_completed() -> None:
    orders, missing = OrdersInMemory(), OrderId(uuid7())

    for change in (_cancel(orders), _complete(orders)):
        with pytest.raises(OrderNotFound, match=str(missing)):
            await change(missing, ANONYMOUS)


@pytest.mark.parametrize("status", [s for s in OrderStatus if s not in (OrderStatus.CONFIRMED, OrderStatus.COMPLETED)])
async def test_only_a_confirmed_order_can_be_completed(status: OrderStatus) -> None:
    orders = OrdersInMemory()
    order_id = await orders.put(order_in(status))

    with pytest.raises(IllegalTransition, match=f"is {status} and cannot become COMPLETED"):
        await _complete(orders)(order_id, ANONYMOUS)
