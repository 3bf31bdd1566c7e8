"""Whatever happens to an order is one write, and a message has its effect once."""

import asyncio

import pytest
from uuid_utils.compat import uuid7

from messaging.ports.changes import InboxClaim, StoreOverloaded, StoreUnavailable, Written
from order_service.application.find_orders import OrderNotFound
from order_service.application.moments import Moments
from order_service.application.ports import OrderWrite
from order_service.domain.fulfilment import Cancel, PaymentCaptured, Reaction, StockRejected, StockReleased
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import OrderStatus, PaymentStatus
from tests.application.use_cases import OrdersInMemory, RacedOrders, fulfil_on
from tests.domain.orders import LATER, RESERVED, STEP_TIMEOUT, led, order_in, placed_order


async def test_an_answer_leads_the_order_on_and_sends_the_next_question() -> None:
    orders = OrdersInMemory()
    order_id = await orders.put(placed_order())

    answered = await fulfil_on(orders)(order_id, RESERVED, InboxClaim(uuid7()))

    assert answered == await orders.get(order_id)
    assert answered.payment is PaymentStatus.REQUESTED
    assert orders.messages() == ["OrderCreatedEvent", "ChargePayment"]


async def test_an_answer_that_changes_nothing_leaves_the_order_as_it_is() -> None:
    orders = OrdersInMemory()
    order_id = await orders.put(order_in(OrderStatus.CONFIRMED))
    before = await orders.get(order_id)

    assert await fulfil_on(orders)(order_id, RESERVED, InboxClaim(uuid7())) == before
    assert await orders.get(order_id) == before


async def test_a_message_that_comes_again_has_no_second_effect() -> None:
    orders, claim = OrdersInMemory(), InboxClaim(uuid7())
    order_id = await orders.put(placed_order())
    fulfil = fulfil_on(orders)

    first = await fulfil(order_id, RESERVED, claim)
    again = await fulfil(order_id, RESERVED, claim)

    assert again == first
    assert orders.messages() == ["OrderCreatedEvent", "ChargePayment"]


async def test_copies_of_a_message_that_race_have_one_effect() -> None:
    orders, claim = OrdersInMemory(), InboxClaim(uuid7())
    order_id = await orders.put(placed_order())
    fulfil = fulfil_on(orders)

    answers = await asyncio.gather(*(fulfil(order_id, RESERVED, claim) for _ in range(20)))

    assert {answer.version for answer in answers} == {2}
    assert orders.messages() == ["OrderCreatedEvent", "ChargePayment"]


async def test_a_claim_that_was_taken_stops_an_effect_that_the_order_would_have_let_happen() -> None:
    """The order alone cannot know: the claim of another message of the same id was taken."""
    orders, claim = OrdersInMemory(), InboxClaim(uuid7())
    order_id = await orders.put(placed_order())
    fulfil = fulfil_on(orders)
    await fulfil(order_id, RESERVED, claim)

    order = await fulfil(order_id, PaymentCaptured(), claim)

    assert order.payment is PaymentStatus.REQUESTED
    assert orders.messages() == ["OrderCreatedEvent", "ChargePayment"]


async def test_an_answer_that_somebody_was_faster_than_is_decided_on_the_order_as_it_is() -> None:
    """The customer was faster: what was reserved for the order is on its way back already."""
    orders = RacedOrders(lambda order: led(order, Cancel()))
    order_id = await orders.put(placed_order())

    order = await fulfil_on(orders)(order_id, RESERVED, InboxClaim(uuid7()))

    assert (order.status, order.version) == (OrderStatus.CANCELLING, 2)
    assert "ChargePayment" not in orders.messages()


async def test_the_claim_of_an_answer_that_came_too_late_is_still_free() -> None:
    orders, claim = RacedOrders(lambda order: led(order, Cancel())), InboxClaim(uuid7())
    order_id = await orders.put(placed_order())

    order = await fulfil_on(orders)(order_id, StockRejected("sold out"), claim)
    assert order.status is OrderStatus.CANCELLING

    assert (await fulfil_on(orders)(order_id, StockReleased(), claim)).status is OrderStatus.CANCELLED


async def test_an_order_that_is_not_there_is_named() -> None:
    missing = OrderId(uuid7())

    with pytest.raises(OrderNotFound, match=str(missing)):
        await fulfil_on(OrdersInMemory())(missing, RESERVED)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreOverloaded("busy")])
async def test_a_store_that_stores_nothing_is_not_taken_for_one_that_did(error: Exception) -> None:
    class Refusing(OrdersInMemory):
        async def write(self, write: OrderWrite) -> Written[Order, Reaction]:  # noqa: ARG002
            raise error

    orders = Refusing()
    order_id = await orders.put(placed_order())

    with pytest.raises(type(error)):
        await fulfil_on(orders)(order_id, RESERVED)


def test_every_moment_has_ids_of_its_own() -> None:
    fresh = Moments(lambda: LATER, uuid7, STEP_TIMEOUT)

    moments = [fresh() for _ in range(10)]

    ids = {each for now in moments for each in (now.event_id, now.stock_command_id, now.payment_command_id)}
    assert len(ids) == 30
    assert {(now.now, now.step_timeout) for now in moments} == {(LATER, STEP_TIMEOUT)}
