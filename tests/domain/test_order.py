"""Orders: how they come to be, what may become of them, and what they say about it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from uuid_utils.compat import uuid7

from order_service.domain.events import (
    OrderCancelledEvent,
    OrderCompletedEvent,
    OrderConfirmedEvent,
    OrderCreatedEvent,
    OrderRejectedEvent,
)
from order_service.domain.money import CurrencyMismatch, Money
from order_service.domain.order import (
    MAX_LINES,
    TRANSITIONS,
    CustomerId,
    IllegalTransition,
    InvalidOrder,
    Order,
    OrderId,
    OrderStatus,
    TimelineEntry,
)
from order_service.domain.order_line import ProductId
from tests.domain.orders import AT, LATER, PRICES, STEPS, line, order_in, placed_order, stepped, stored

EVENTS = {
    OrderStatus.CONFIRMED: OrderConfirmedEvent,
    OrderStatus.REJECTED: OrderRejectedEvent,
    OrderStatus.CANCELLED: OrderCancelledEvent,
    OrderStatus.COMPLETED: OrderCompletedEvent,
}
LEGAL = [(source, target) for source in OrderStatus for target in STEPS if target in TRANSITIONS[source]]
ILLEGAL = [(source, target) for source in OrderStatus for target in STEPS if target not in TRANSITIONS[source]]


def test_a_placed_order_is_pending_at_version_one_and_says_that_it_was_created() -> None:
    order_id, event_id = OrderId(uuid7()), uuid7()
    lines = (line("p1", 2), line("p2", 1))

    order = Order.place(order_id=order_id, customer_id=CustomerId("c1"), lines=lines, now=AT, event_id=event_id)

    assert (order.status, order.version, order.total, order.reason) == (OrderStatus.PENDING, 1, None, None)
    assert order.created_at == order.updated_at == AT
    assert order.timeline == (TimelineEntry(AT, OrderStatus.PENDING),)
    assert order.events == (
        OrderCreatedEvent(
            event_id=event_id,
            order_id=order_id.value,
            order_version=1,
            occurred_at=AT,
            customer_id="c1",
            lines=lines,
        ),
    )


def test_rehydrating_an_order_records_nothing() -> None:
    order = placed_order()

    rehydrated = Order(
        id=order.id,
        customer_id=order.customer_id,
        lines=order.lines,
        status=order.status,
        version=order.version,
        created_at=order.created_at,
        updated_at=order.updated_at,
        timeline=order.timeline,
    )

    assert rehydrated.events == ()
    assert rehydrated == stored(order)


@pytest.mark.parametrize(("source", "target"), LEGAL)
def test_a_legal_transition_grows_the_version_by_one_and_records_one_event(
    source: OrderStatus, target: OrderStatus
) -> None:
    before, event_id = order_in(source), uuid7()

    after = STEPS[target](before, LATER, event_id)

    (event,) = after.events
    assert type(event) is EVENTS[target]
    assert (event.event_id, event.order_id, event.occurred_at) == (event_id, before.id.value, LATER)
    assert after.version == event.order_version == before.version + 1
    assert (after.status, after.updated_at, after.created_at) == (target, LATER, before.created_at)
    assert after.timeline[:-1] == before.timeline
    assert (after.timeline[-1].at, after.timeline[-1].status) == (LATER, target)


@pytest.mark.parametrize(("source", "target"), ILLEGAL)
def test_an_illegal_transition_raises_and_says_from_where_to_where(source: OrderStatus, target: OrderStatus) -> None:
    order = order_in(source)

    with pytest.raises(IllegalTransition) as refused:
        STEPS[target](order, LATER, uuid7())

    assert (refused.value.order_id, refused.value.status, refused.value.target) == (order.id.value, source, target)
    assert str(refused.value) == f"order {order.id} is {source} and cannot become {target}"


def test_the_table_names_every_status_and_final_ones_lead_nowhere() -> None:
    assert TRANSITIONS.keys() == set(OrderStatus)
    assert {status for status in OrderStatus if not TRANSITIONS[status]} == {
        OrderStatus.REJECTED,
        OrderStatus.CANCELLED,
        OrderStatus.COMPLETED,
    }


def test_a_transition_leaves_the_order_it_began_with_as_it_was() -> None:
    before = stored(placed_order())
    copy = replace(before)

    stepped(before, OrderStatus.CANCELLED)

    assert before == copy


def test_confirming_prices_every_line_and_adds_up_the_total() -> None:
    order = stored(placed_order(line("p1", 2), line("p2", 3), line("p1", 1)))

    confirmed = order.confirm(prices=PRICES, now=LATER, event_id=uuid7())

    (event,) = confirmed.events
    assert isinstance(event, OrderConfirmedEvent)
    assert [priced.unit_price for priced in confirmed.lines] == [
        Money(1250, "EUR"),
        Money(99, "EUR"),
        Money(1250, "EUR"),
    ]
    assert confirmed.total == event.total == Money(2 * 1250 + 3 * 99 + 1250, "EUR")
    assert event.lines == confirmed.lines


def test_an_order_for_nothing_but_free_goods_is_confirmed_with_a_total_of_zero() -> None:
    order = stored(placed_order(line("p1", 2)))

    confirmed = order.confirm(prices={ProductId("p1"): Money(0, "EUR")}, now=LATER, event_id=uuid7())

    assert confirmed.total == Money(0, "EUR")


def test_a_product_without_a_price_cannot_be_confirmed() -> None:
    with pytest.raises(KeyError, match="p9"):
        stored(placed_order(line("p9"))).confirm(prices=PRICES, now=LATER, event_id=uuid7())


def test_prices_in_two_currencies_cannot_be_confirmed() -> None:
    prices = {ProductId("p1"): Money.of("1.00", "EUR"), ProductId("p2"): Money.of("1", "JPY")}

    with pytest.raises(CurrencyMismatch, match="cannot add JPY to EUR"):
        stored(placed_order(line("p1"), line("p2"))).confirm(prices=prices, now=LATER, event_id=uuid7())


@pytest.mark.parametrize("status", [OrderStatus.REJECTED, OrderStatus.CANCELLED])
def test_the_reason_of_an_early_end_stands_in_the_order_the_event_and_the_timeline(status: OrderStatus) -> None:
    ended = stepped(stored(placed_order()), status)

    (event,) = ended.events
    assert isinstance(event, OrderRejectedEvent | OrderCancelledEvent)
    assert ended.reason == event.reason == ended.timeline[-1].detail
    assert ended.reason


def test_the_timeline_tells_every_step_in_order() -> None:
    order = stepped(placed_order(), OrderStatus.CONFIRMED, AT + timedelta(seconds=5))
    order = stepped(order, OrderStatus.COMPLETED, AT + timedelta(seconds=9))

    assert [(entry.at - AT, entry.status) for entry in order.timeline] == [
        (timedelta(0), OrderStatus.PENDING),
        (timedelta(seconds=5), OrderStatus.CONFIRMED),
        (timedelta(seconds=9), OrderStatus.COMPLETED),
    ]
    assert [event.order_version for event in order.events] == [1, 2, 3]


@pytest.mark.parametrize("count", [0, MAX_LINES + 1])
def test_an_order_has_between_one_and_a_hundred_lines(count: int) -> None:
    order = stored(placed_order())

    with pytest.raises(InvalidOrder, match=f"1 to 100 lines, not {count}"):
        replace(order, lines=(line(),) * count)


def test_an_order_may_have_a_hundred_lines() -> None:
    assert len(placed_order(*(line(),) * MAX_LINES).lines) == MAX_LINES


@pytest.mark.parametrize("status", [OrderStatus.CONFIRMED, OrderStatus.COMPLETED])
def test_a_confirmed_order_without_a_total_cannot_exist(status: OrderStatus) -> None:
    order = order_in(status)

    with pytest.raises(InvalidOrder, match=f"{status} has a total"):
        replace(order, total=None)


@pytest.mark.parametrize("status", [OrderStatus.REJECTED, OrderStatus.CANCELLED])
def test_an_order_that_ended_early_without_a_reason_cannot_exist(status: OrderStatus) -> None:
    order = order_in(status)

    with pytest.raises(InvalidOrder, match=f"{status} has a reason"):
        replace(order, reason=None)
