"""A message has its effect on an order once: its claim and the change are stored together, or neither is."""

import asyncio
from collections import Counter

from uuid_utils.compat import uuid7

from messaging.ports.changes import Changes, Committed, Conflict, Duplicate, InboxClaim
from order_service.application.fulfil_order import FulfilOrder
from order_service.domain.fulfilment import Cancel, PaymentCaptured, PaymentRefunded, StockRejected, StockReleased
from order_service.domain.order_status import OrderStatus, StockStatus
from tests.domain.orders import RESERVED, led, moment, placed_order, reaction, stored
from tests.order_store.conftest import StoreUnderTest


async def test_a_message_is_stored_with_the_change_that_it_makes_and_with_what_goes_out(store: StoreUnderTest) -> None:
    order = await store.created(placed_order())

    assert await store.handle(order, RESERVED, uuid7()) == Committed()

    found = await store.orders.find(order.id)
    assert found is not None
    assert (found.version, found.stock) == (2, StockStatus.RESERVED)
    assert await store.messages() == [(str(order.id), "OrderCreatedEvent"), (str(order.id), "ChargePayment")]


async def test_the_same_message_again_is_a_duplicate_with_no_second_effect(store: StoreUnderTest) -> None:
    order, event_id = await store.created(placed_order()), uuid7()
    await store.handle(order, RESERVED, event_id)
    found = await store.orders.find(order.id)
    assert found is not None

    # The order is at a version at which the change would be accepted: only the claim can tell.
    assert await store.handle(found, PaymentCaptured(), event_id) == Duplicate(order.id.value)

    assert await store.orders.find(order.id) == found
    assert [kind for _, kind in await store.messages()] == ["OrderCreatedEvent", "ChargePayment"]


async def test_copies_of_a_message_that_are_handled_at_the_same_time_have_one_effect(store: StoreUnderTest) -> None:
    orders = [await store.created(placed_order()) for _ in range(10)]
    events = {order.id: uuid7() for order in orders}

    outcomes = await asyncio.gather(
        *(store.handle(order, RESERVED, events[order.id]) for order in orders for _ in range(5))
    )

    assert Counter(type(outcome) is Committed for outcome in outcomes) == {True: 10, False: 40}
    assert Counter(kind for _, kind in await store.messages()) == {"OrderCreatedEvent": 10, "ChargePayment": 10}


async def test_a_message_that_lost_its_race_has_not_taken_its_claim(store: StoreUnderTest) -> None:
    order, event_id = await store.created(placed_order()), uuid7()
    cancelling = led(stored(order), Cancel())
    await store.update(cancelling, 1)

    assert await store.handle(order, StockRejected("sold out"), event_id) == Conflict()
    assert await store.orders.find(order.id) == stored(cancelling)
    assert [kind for _, kind in await store.messages()] == ["OrderCreatedEvent"]

    assert await store.handle(stored(cancelling), StockReleased(), event_id) == Committed()


async def test_a_message_for_an_order_that_is_not_there_has_not_taken_its_claim(store: StoreUnderTest) -> None:
    order, event_id = placed_order(), uuid7()
    assert await store.handle(order, RESERVED, event_id) == Conflict()

    await store.created(order)

    assert await store.handle(order, RESERVED, event_id) == Committed()


async def test_of_two_messages_for_one_version_one_wins_and_the_other_can_be_handled_after_it(
    store: StoreUnderTest,
) -> None:
    """The answers of both partners come at the same time."""
    order = await store.created(placed_order())
    both = led(stored(order), RESERVED, Cancel())
    await store.update(both, 1)
    released, refunded = uuid7(), uuid7()

    outcomes = await asyncio.gather(
        store.handle(stored(both), StockReleased(), released), store.handle(stored(both), PaymentRefunded(), refunded)
    )
    assert list(outcomes) == [Committed(), Conflict()]

    halfway = await store.orders.find(order.id)
    assert halfway is not None
    assert await store.handle(halfway, PaymentRefunded(), refunded) == Committed()
    settled = await store.orders.find(order.id)
    assert settled is not None
    assert (settled.status, settled.version) == (OrderStatus.CANCELLED, 5)


async def test_requests_and_deadlines_need_no_claim(store: StoreUnderTest) -> None:
    order = await store.created(placed_order())
    reacted = reaction(order, Cancel())

    assert await store.commit(Changes(reacted.order, 1, reacted.outgoing)) == Committed()


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
            assert await store.handle(answer, Cancel(), claim.event_id) == Duplicate(answer.id.value)
