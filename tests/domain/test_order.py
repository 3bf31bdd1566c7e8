"""Orders: how they come to be, what may become of them, and what cannot be one. When what happens to them is
test_fulfilment.py's matter."""

import itertools
from collections.abc import Callable, Mapping
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
from order_service.domain.fulfilment import Cancel, Happening, PaymentDeclined, PaymentRefunded, StockReleased
from order_service.domain.order import MAX_LINES, CustomerId, InvalidOrder, Order, OrderId, TimelineEntry
from order_service.domain.order_status import (
    ON_THE_WAY,
    PARTNER_STATES,
    TRANSITIONS,
    IllegalTransition,
    OrderStatus,
    PaymentStatus,
    StockStatus,
)
from shared_kernel.money import CurrencyMismatch, Money
from shared_kernel.product import ProductId
from shared_kernel.reason import NO_REASON
from tests.domain.orders import AT, LATER, PRICES, RESERVED, WAYS, led, line, order_in, placed_order, stepped, stored

SOON = timedelta(seconds=30)

# Every change of status, tried on a priced order that stands anywhere.
STEPS: Mapping[OrderStatus, Callable[[Order], Order]] = {
    OrderStatus.CONFIRMED: lambda order: order.confirm(now=LATER, event_id=uuid7()),
    OrderStatus.REJECTED: lambda order: order.reject("sold out", now=LATER, event_id=uuid7()),
    OrderStatus.CANCELLING: lambda order: order.take_back("not wanted", now=LATER, patience=SOON),
    OrderStatus.STUCK: lambda order: order.give_up(now=LATER),
    OrderStatus.CANCELLED: lambda order: order.undone(
        stock=StockStatus.RELEASED, payment=PaymentStatus.REFUNDED, now=LATER, event_id=uuid7(), detail="released"
    ),
    OrderStatus.COMPLETED: lambda order: order.complete(now=LATER, event_id=uuid7()),
}
PRICED: Mapping[OrderStatus, tuple[Happening, ...]] = {
    **WAYS,
    OrderStatus.PENDING: (RESERVED,),
    OrderStatus.REJECTED: (RESERVED, PaymentDeclined("no cover"), StockReleased()),
    OrderStatus.CANCELLING: (RESERVED, Cancel()),
    OrderStatus.CANCELLED: (RESERVED, Cancel(), StockReleased(), PaymentRefunded()),
    OrderStatus.STUCK: (RESERVED, *WAYS[OrderStatus.STUCK]),
}
ILLEGAL = [
    (source, target) for source, target in itertools.product(OrderStatus, STEPS) if target not in TRANSITIONS[source]
]


def test_a_placed_order_is_pending_at_version_one_and_says_that_it_was_created() -> None:
    order_id, event_id = OrderId(uuid7()), uuid7()
    lines = (line("p1", 2), line("p2", 1))

    order = Order.place(
        order_id=order_id, customer_id=CustomerId("c1"), lines=lines, now=AT, event_id=event_id, patience=SOON
    )

    assert (order.status, order.stock, order.payment) == (OrderStatus.PENDING, StockStatus.REQUESTED, None)
    assert (order.version, order.total, order.reason) == (1, None, None)
    assert (order.patience, order.attempts) == (SOON, 0)
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
        stock=order.stock,
        payment=order.payment,
        version=order.version,
        created_at=order.created_at,
        updated_at=order.updated_at,
        timeline=order.timeline,
    )

    assert (rehydrated.events, rehydrated.patience) == ((), None)
    assert rehydrated == stored(order)


@pytest.mark.parametrize(
    ("status", "event_type"),
    [
        (OrderStatus.CONFIRMED, OrderConfirmedEvent),
        (OrderStatus.REJECTED, OrderRejectedEvent),
        (OrderStatus.CANCELLED, OrderCancelledEvent),
        (OrderStatus.COMPLETED, OrderCompletedEvent),
    ],
)
def test_an_order_that_gets_somewhere_says_so_in_one_event(status: OrderStatus, event_type: type) -> None:
    order = led(placed_order(), *PRICED[status])

    event = order.events[-1]
    assert type(event) is event_type
    assert (event.order_id, event.order_version, event.occurred_at) == (order.id.value, order.version, LATER)
    assert sum(type(each) is event_type for each in order.events) == 1


@pytest.mark.parametrize(("source", "target"), ILLEGAL)
def test_an_illegal_transition_raises_and_says_from_where_to_where(source: OrderStatus, target: OrderStatus) -> None:
    order = stored(led(placed_order(), *PRICED[source]))

    with pytest.raises(IllegalTransition) as refused:
        STEPS[target](order)

    assert (refused.value.order_id, refused.value.status, refused.value.target) == (order.id.value, source, target)
    assert str(refused.value) == f"order {order.id} is {source} and cannot become {target}"


def test_the_table_names_every_status_and_final_ones_lead_nowhere() -> None:
    assert TRANSITIONS.keys() == PARTNER_STATES.keys() == set(OrderStatus)
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


def test_a_reservation_prices_every_line_and_adds_up_the_total() -> None:
    order = stored(placed_order(line("p1", 2), line("p2", 3), line("p1", 1)))

    priced = order.reserved(PRICES, now=LATER, patience=SOON)

    assert [line.unit_price for line in priced.lines] == [Money(1250, "EUR"), Money(99, "EUR"), Money(1250, "EUR")]
    assert priced.total == Money(2 * 1250 + 3 * 99 + 1250, "EUR")


def test_a_confirmed_order_tells_its_prices_and_its_total() -> None:
    confirmed = led(placed_order(line("p1", 2), line("p2", 3)), *WAYS[OrderStatus.CONFIRMED])

    event = confirmed.events[-1]
    assert isinstance(event, OrderConfirmedEvent)
    assert event.lines == confirmed.lines
    assert event.total == confirmed.total == Money.of("27.97", "EUR")


def test_free_goods_have_a_total_of_zero() -> None:
    free = placed_order(line("p1", 2)).reserved({ProductId("p1"): Money(0, "EUR")}, now=LATER, patience=SOON)

    assert free.total == Money(0, "EUR")


def test_a_reservation_without_the_price_of_a_product_is_none_and_names_the_products() -> None:
    order = placed_order(line("p9"), line("p1"), line("p8"))

    with pytest.raises(InvalidOrder, match=f"order {order.id} was reserved without a price for p9, p8"):
        order.reserved(PRICES, now=LATER, patience=SOON)


def test_prices_in_two_currencies_are_no_total() -> None:
    prices = {ProductId("p1"): Money.of("1.00", "EUR"), ProductId("p2"): Money.of("1", "JPY")}

    with pytest.raises(CurrencyMismatch, match="cannot add JPY to EUR"):
        placed_order(line("p1"), line("p2")).reserved(prices, now=LATER, patience=SOON)


@pytest.mark.parametrize("status", [OrderStatus.REJECTED, OrderStatus.CANCELLED])
def test_the_reason_of_an_early_end_stands_in_the_order_the_event_and_the_timeline(status: OrderStatus) -> None:
    ended = stepped(placed_order(), status)

    event = ended.events[-1]
    assert isinstance(event, OrderRejectedEvent | OrderCancelledEvent)
    assert ended.reason == event.reason == ended.timeline[-1].detail
    assert ended.reason


def test_the_timeline_tells_every_step_in_order() -> None:
    order = led(placed_order(), *WAYS[OrderStatus.CONFIRMED], at=AT + timedelta(seconds=5))
    order = led(order, *WAYS[OrderStatus.COMPLETED][-1:], at=AT + timedelta(seconds=9))

    assert [(entry.at - AT, entry.status, entry.detail) for entry in order.timeline] == [
        (timedelta(0), OrderStatus.PENDING, None),
        (timedelta(seconds=5), OrderStatus.PENDING, "stock reserved"),
        (timedelta(seconds=5), OrderStatus.CONFIRMED, "payment captured"),
        (timedelta(seconds=9), OrderStatus.COMPLETED, None),
    ]
    assert [event.order_version for event in order.events] == [1, 3, 4]


@pytest.mark.parametrize("count", [0, MAX_LINES + 1])
def test_an_order_has_between_one_and_a_hundred_lines(count: int) -> None:
    order = stored(placed_order())

    with pytest.raises(InvalidOrder, match=f"1 to 100 lines, not {count}"):
        replace(order, lines=(line(),) * count)


def test_an_order_may_have_a_hundred_lines() -> None:
    assert len(placed_order(*(line(),) * MAX_LINES).lines) == MAX_LINES


@pytest.mark.parametrize("status", OrderStatus)
def test_stock_and_payment_that_do_not_go_with_a_status_cannot_exist(status: OrderStatus) -> None:
    """Every status with every stock and payment status: the table says which of them can be."""
    order = led(placed_order(), *PRICED[status])

    for stock, payment in itertools.product(StockStatus, (None, *PaymentStatus)):
        if (stock, payment) in PARTNER_STATES[status]:
            assert replace(order, stock=stock, payment=payment).status is status
        else:
            with pytest.raises(InvalidOrder, match=f"is not {status} with stock {stock} and payment {payment}"):
                replace(order, stock=stock, payment=payment)


@pytest.mark.parametrize("status", OrderStatus)
def test_an_order_is_patient_only_while_something_is_waited_for(status: OrderStatus) -> None:
    order = order_in(status)
    if status in ON_THE_WAY:
        assert replace(order, patience=SOON).patience == SOON
    else:
        with pytest.raises(InvalidOrder, match=f"an order that is {status} waits for nothing"):
            replace(order, patience=SOON)


@pytest.mark.parametrize("status", [status for status in OrderStatus if PRICED[status][0] is RESERVED])
def test_an_order_with_a_payment_but_without_a_total_cannot_exist(status: OrderStatus) -> None:
    order = led(placed_order(), *PRICED[status])

    with pytest.raises(InvalidOrder, match=f"payment is {order.payment} has a total"):
        replace(order, total=None)


@pytest.mark.parametrize("status", [OrderStatus.REJECTED, OrderStatus.CANCELLED])
def test_an_order_that_ended_early_without_a_reason_cannot_exist(status: OrderStatus) -> None:
    order = order_in(status)

    with pytest.raises(InvalidOrder, match=f"{status} has a reason"):
        replace(order, reason=None)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("sold\x00out", "sold out"), ("sold\nout", "sold out"), ("", NO_REASON), ("  ", NO_REASON), ("\ud800", NO_REASON)],
    ids=ascii,
)
def test_an_order_keeps_a_reason_that_a_person_can_read_whatever_it_is_given(given: str, kept: str) -> None:
    rejected = placed_order().reject(given, now=LATER, event_id=uuid7())
    declined = placed_order().reserved(PRICES, now=LATER, patience=SOON).decline(given, now=LATER, patience=SOON)

    event = rejected.events[-1]
    assert isinstance(event, OrderRejectedEvent)
    assert rejected.reason == rejected.timeline[-1].detail == event.reason == declined.reason == kept
    assert declined.timeline[-1].detail == f"payment declined: {kept}"


def test_an_order_that_was_stored_with_an_odd_reason_can_be_read() -> None:
    rejected = placed_order().reject("sold out", now=LATER, event_id=uuid7())

    assert replace(rejected, reason="an emoji of a later Unicode \U0001fadf\t").reason is not None


def test_a_total_fits_into_63_bits_and_one_cent_more_is_none() -> None:
    def total(minor: int) -> Order:
        prices = {ProductId("p1"): Money(minor, "EUR"), ProductId("p2"): Money(1, "EUR")}
        return placed_order(line("p1", 2), line("p2", 1)).reserved(prices, now=LATER, patience=SOON)

    assert total(2**62 - 1).total == Money(2**63 - 1, "EUR")
    with pytest.raises(InvalidOrder, match="63 bits"):
        total(2**62)
