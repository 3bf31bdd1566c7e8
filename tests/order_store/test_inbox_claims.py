"""A message has its effect on an order once: its claim and the change are stored together, or neither is."""

import asyncio
from collections import Counter

from uuid_utils.compat import uuid7

from messaging.ports.changes import InboxClaim, Write, Written
from order_service.application.fulfil_order import FulfilOrder
from order_service.domain.fulfilment import Cancel, PaymentCaptured, PaymentRefunded, StockRejected, StockReleased
from order_service.domain.order import Order
from order_service.domain.order_status import OrderStatus, StockStatus
from tests.domain.orders import RESERVED, moment, placed_order
from tests.order_store.conftest import StoreUnderTest, handling


async def test_a_message_is_stored_with_the_change_that_it_makes_and_with_what_goes_out(store: StoreUnderTest) -> None:
    order = await store.created(placed_order())

    assert await store.handle(order.id, RESERVED, uuid7())

    found = await store.orders.find(order.id)
    assert found is not None
    assert (found.version, found.stock) == (2, StockStatus.RESERVED)
    assert await store.messages() == [(str(order.id), "OrderCreatedEvent"), (str(order.id), "ChargePayment")]


async def test_the_same_message_again_has_no_effect_and_is_answered_with_the_order(
    store: StoreUnderTest,
) -> None:
    order, event_id = await store.created(placed_order()), uuid7()
    await store.handle(order.id, RESERVED, event_id)
    found = await store.orders.find(order.id)

    # The order would let it happen: only the claim can tell.
    assert await store.write(handling(order.id, PaymentCaptured(), event_id)) == Written(found, None)

    assert await store.orders.find(order.id) == found
    assert [kind for _, kind in await store.messages()] == ["OrderCreatedEvent", "ChargePayment"]


async def test_copies_of_a_message_that_are_handled_at_the_same_time_have_one_effect(store: StoreUnderTest) -> None:
    orders = [await store.created(placed_order()) for _ in range(10)]
    events = {order.id: uuid7() for order in orders}

    effects = await asyncio.gather(
        *(store.handle(order.id, RESERVED, events[order.id]) for order in orders for _ in range(5))
    )

    assert Counter(effects) == {True: 10, False: 40}
    assert Counter(kind for _, kind in await store.messages()) == {"OrderCreatedEvent": 10, "ChargePayment": 10}


async def test_a_message_that_changes_nothing_has_not_taken_its_claim(store: StoreUnderTest) -> None:
    order, event_id = await store.created(placed_order()), uuid7()
    await store.write(handling(order.id, Cancel()))

    assert not await store.handle(order.id, StockRejected("sold out"), event_id)

    assert await store.handle(order.id, StockReleased(), event_id)


async def test_a_message_for_an_order_that_is_not_there_has_not_taken_its_claim(store: StoreUnderTest) -> None:
    order, event_id = placed_order(), uuid7()
    assert not await store.handle(order.id, RESERVED, event_id)

    await store.created(order)

    assert await store.handle(order.id, RESERVED, event_id)


async def test_a_message_whose_decision_fails_has_not_taken_its_claim_also_among_others(store: StoreUnderTest) -> None:
    failing, *others = [await store.created(placed_order()) for _ in range(10)]
    event_id = uuid7()

    def fail(_: Order | None) -> None:
        raise ZeroDivisionError

    outcomes = await asyncio.gather(
        store.write(Write(failing.id.value, fail, InboxClaim(event_id))),
        *(store.handle(order.id, RESERVED, uuid7()) for order in others),
        return_exceptions=True,
    )

    assert isinstance(outcomes.pop(0), ZeroDivisionError)
    assert outcomes == [True] * 9
    assert await store.handle(failing.id, RESERVED, event_id)


async def test_two_messages_for_one_order_at_the_same_time_both_have_their_effect(store: StoreUnderTest) -> None:
    """The answers of both partners come at the same time."""
    order = await store.created(placed_order())
    for happening in (RESERVED, Cancel()):
        await store.write(handling(order.id, happening))

    effects = await asyncio.gather(
        *(store.handle(order.id, answer, uuid7()) for answer in (StockReleased(), PaymentRefunded()))
    )

    assert effects == [True, True]
    settled = await store.orders.find(order.id)
    assert settled is not None
    assert (settled.status, settled.version) == (OrderStatus.CANCELLED, 5)


async def test_a_claim_is_taken_exactly_when_its_change_is_stored(store: StoreUnderTest) -> None:
    """Copies of all answers of thirty orders race: in the end every order is settled by one copy of each, and each
    claim is taken."""
    orders = [await store.created(placed_order()) for _ in range(30)]
    fulfil = FulfilOrder(store.orders, moment)
    reserved, captured = ({order.id: InboxClaim(uuid7()) for order in orders} for _ in range(2))

    await asyncio.gather(*(fulfil(order.id, RESERVED, reserved[order.id]) for order in orders for _ in range(3)))
    answers = await asyncio.gather(
        *(fulfil(order.id, PaymentCaptured(), captured[order.id]) for order in orders for _ in range(3))
    )

    assert {(answer.status, answer.version) for answer in answers} == {(OrderStatus.CONFIRMED, 3)}
    assert Counter(kind for _, kind in await store.messages()) == {
        "OrderCreatedEvent": 30,
        "ChargePayment": 30,
        "OrderConfirmedEvent": 30,
    }
    for answer in answers:
        for claim in (reserved[answer.id], captured[answer.id]):
            assert not await store.handle(answer.id, Cancel(), claim.event_id)
