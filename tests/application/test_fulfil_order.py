"""Whatever happens to an order is one decision and one commit, and a message has its effect once."""

import asyncio

import pytest
from uuid_utils.compat import uuid7

from messaging.ports.changes import CommitResult, InboxClaim, StoreOverloaded, StoreUnavailable
from order_service.application.find_orders import OrderNotFound
from order_service.application.fulfil_order import decide
from order_service.application.moments import Moments
from order_service.application.ports import OrderChanges
from order_service.domain.fulfilment import Cancel, PaymentCaptured, StockRejected, StockReleased
from order_service.domain.order import OrderId
from order_service.domain.order_status import OrderStatus, PaymentStatus, StockStatus
from tests.application.use_cases import OrdersInMemory, RacedOrders, fulfil_on
from tests.domain.orders import LATER, RESERVED, STEP_TIMEOUT, led, moment, order_in, placed_order, stored


def test_deciding_is_pure_and_says_what_it_rests_on() -> None:
    order, now, claim = stored(placed_order()), moment(), InboxClaim(uuid7())

    first = decide(order, RESERVED, now, claim)

    assert first == decide(order, RESERVED, now, claim)
    assert first is not None
    assert (first.expected_version, first.aggregate.version, first.claim) == (1, 2, claim)
    assert [type(outgoing).__name__ for outgoing in first.outgoing] == ["ChargePayment"]
    assert order.stock is StockStatus.REQUESTED


def test_what_changes_nothing_is_nothing_to_commit() -> None:
    assert decide(order_in(OrderStatus.CONFIRMED), RESERVED, moment(), InboxClaim(uuid7())) is None


async def test_an_answer_leads_the_order_on_and_sends_the_next_question() -> None:
    orders = OrdersInMemory()
    order_id = await orders.put(placed_order())

    answered = await fulfil_on(orders)(order_id, RESERVED, InboxClaim(uuid7()))

    assert stored(answered) == await orders.get(order_id)
    assert (answered.payment, answered.patience) == (PaymentStatus.REQUESTED, STEP_TIMEOUT)
    assert orders.messages() == ["OrderCreatedEvent", "ChargePayment"]


async def test_a_message_that_comes_again_has_no_second_effect() -> None:
    orders, claim = OrdersInMemory(), InboxClaim(uuid7())
    order_id = await orders.put(placed_order())
    fulfil = fulfil_on(orders)

    first = await fulfil(order_id, RESERVED, claim)
    again = await fulfil(order_id, RESERVED, claim)

    assert again == stored(first)
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


async def test_an_answer_that_lost_its_race_is_decided_again_on_what_won() -> None:
    """The customer was faster: what was reserved for the order is on its way back already."""
    orders = RacedOrders(1, lambda order: led(order, Cancel()))
    order_id = await orders.put(placed_order())

    order = await fulfil_on(orders)(order_id, RESERVED, InboxClaim(uuid7()))

    assert (order.status, order.version) == (OrderStatus.CANCELLING, 2)
    assert "ChargePayment" not in orders.messages()


async def test_the_claim_of_a_lost_race_is_still_free() -> None:
    orders, claim = RacedOrders(1, lambda order: led(order, Cancel())), InboxClaim(uuid7())
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
        async def commit(self, changes: OrderChanges) -> CommitResult:  # noqa: ARG002
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
