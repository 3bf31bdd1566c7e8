"""The fulfilment saga: an example of every way, and nothing but these ways."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from uuid_utils.compat import uuid7

from docs.generate_fulfilment import HAPPENINGS, explore, of_its_version, state_of
from order_service.domain.commands import ChargePayment, ReserveStock
from order_service.domain.fulfilment import (
    MAX_COMPENSATIONS,
    Cancel,
    Complete,
    DeadlinePassed,
    Happening,
    Moment,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    Retry,
    StockRejected,
    StockReleased,
    StockReserved,
    begin,
    react,
)
from order_service.domain.order import InvalidOrder, Order
from order_service.domain.order_status import ON_THE_WAY, PARTNER_STATES, IllegalTransition, OrderStatus
from shared_kernel.money import CurrencyMismatch, Money
from shared_kernel.product import ProductId
from tests.domain.orders import (
    AT,
    LATER,
    PRICES,
    RESERVED,
    STEP_TIMEOUT,
    led,
    line,
    moment,
    placed_order,
    reaction,
    stored,
)

SOLD_OUT, RELEASED = StockRejected("sold out"), StockReleased()
CAPTURED, NO_COVER, REFUNDED = PaymentCaptured(), PaymentDeclined("no cover"), PaymentRefunded()
TIME_IS_UP, CANCEL, COMPLETE, RETRY = DeadlinePassed(version=1), Cancel(), Complete(), Retry()
NOBODY_ANSWERS = (TIME_IS_UP,) * MAX_COMPENSATIONS

Way = tuple[Happening, ...]

# How an order gets there from its placing.
STATES: dict[str, Way] = {
    "placed": (),
    "reserved": (RESERVED,),
    "declined": (RESERVED, NO_COVER),
    "confirmed": (RESERVED, CAPTURED),
    "completed": (RESERVED, CAPTURED, COMPLETE),
    "rejected unreserved": (SOLD_OUT,),
    "rejected unpaid": (RESERVED, NO_COVER, RELEASED),
    "taking back the stock": (CANCEL,),
    "taking back both": (RESERVED, CANCEL),
    "taking back the payment": (RESERVED, CANCEL, RELEASED),
    "refunded, taking back the stock": (RESERVED, CANCEL, REFUNDED),
    "cancelled unpaid": (CANCEL, RELEASED),
    "cancelled": (RESERVED, CANCEL, RELEASED, REFUNDED),
}
COMPENSATING = [
    "declined",
    "taking back the stock",
    "taking back both",
    "taking back the payment",
    "refunded, taking back the stock",
]
STATES |= {f"stuck: {name}": (*STATES[name], *NOBODY_ANSWERS, TIME_IS_UP) for name in COMPENSATING}

RELEASE, REFUND_AND_RELEASE, REFUND = ("ReleaseStock",), ("RefundPayment", "ReleaseStock"), ("RefundPayment",)
AGAIN = dict(zip(COMPENSATING, (RELEASE, RELEASE, REFUND_AND_RELEASE, REFUND, RELEASE), strict=True))
REJECTED_EVENT, CANCELLED_EVENT = "OrderRejectedEvent", "OrderCancelledEvent"

# From where, by what, to where; the commands that go out with it, and the event that tells of it.
EDGES: list[tuple[str, Happening, str, tuple[str, ...], str | None]] = [
    ("placed", RESERVED, "reserved", ("ChargePayment",), None),
    ("placed", SOLD_OUT, "rejected unreserved", (), REJECTED_EVENT),
    ("placed", CANCEL, "taking back the stock", RELEASE, None),
    ("placed", TIME_IS_UP, "taking back the stock", RELEASE, None),
    ("reserved", CAPTURED, "confirmed", (), "OrderConfirmedEvent"),
    ("reserved", NO_COVER, "declined", RELEASE, None),
    ("reserved", CANCEL, "taking back both", REFUND_AND_RELEASE, None),
    ("reserved", TIME_IS_UP, "taking back both", REFUND_AND_RELEASE, None),
    ("confirmed", COMPLETE, "completed", ("ShipStock",), "OrderCompletedEvent"),
    ("confirmed", CANCEL, "taking back both", REFUND_AND_RELEASE, None),
    *[
        (f"{stuck}{source}", answer, target if told else f"{stuck}{target}", (), told)
        for stuck in ("", "stuck: ")
        for source, answer, target, told in (
            ("declined", RELEASED, "rejected unpaid", REJECTED_EVENT),
            ("taking back the stock", RELEASED, "cancelled unpaid", CANCELLED_EVENT),
            ("taking back both", RELEASED, "taking back the payment", None),
            ("taking back both", REFUNDED, "refunded, taking back the stock", None),
            ("taking back the payment", REFUNDED, "cancelled", CANCELLED_EVENT),
            ("refunded, taking back the stock", RELEASED, "cancelled", CANCELLED_EVENT),
        )
    ],
    *[(name, TIME_IS_UP, name, AGAIN[name], None) for name in COMPENSATING],
    *[(f"stuck: {name}", RETRY, name, AGAIN[name], None) for name in COMPENSATING],
]
LAST_DEADLINES = [(name, TIME_IS_UP, f"stuck: {name}") for name in COMPENSATING]
KNOWN = {(source, type(happening)) for source, happening, *_ in EDGES}
NOTHING_ELSE = [
    (name, happening)
    for name, happening in itertools.product(STATES, HAPPENINGS)
    if (name, type(happening)) not in KNOWN
]
TOO_LATE = {"rejected unreserved", "rejected unpaid", "completed"}


def _order(name: str) -> Order:
    return stored(led(placed_order(line("p1", 2), line("p2", 3)), *STATES[name]))


def _named(value: object) -> str:
    match value:
        case str():
            return value
        case tuple():
            return "+".join(value)
        case _:
            return "" if value is None else type(value).__name__


def _stands_as(order: Order, name: str) -> bool:
    return state_of(order) == state_of(_order(name))


@pytest.mark.parametrize(("source", "happening", "target", "commands", "event"), EDGES, ids=_named)
def test_what_happens_leads_on_with_its_commands_and_its_event(
    source: str, happening: Happening, target: str, commands: Sequence[str], event: str | None
) -> None:
    before = _order(source)
    at = moment()

    reacted = react(before, of_its_version(happening, before), at)

    assert reacted is not None
    assert _stands_as(reacted.order, target), f"{reacted.order.status}, {reacted.order.stock}, {reacted.order.payment}"
    assert reacted.order.version == before.version + 1
    assert [type(command).__name__ for command in reacted.commands] == list(commands)
    assert {(command.order_id, command.occurred_at) for command in reacted.commands} <= {(before.id.value, at.now)}
    assert {command.event_id for command in reacted.commands} <= {at.stock_command_id, at.payment_command_id}
    assert [(type(told).__name__, told.event_id, told.order_version) for told in reacted.order.events] == (
        [(event, at.event_id, reacted.order.version)] if event else []
    )


@pytest.mark.parametrize(("name", "happening"), NOTHING_ELSE, ids=_named)
def test_anything_else_changes_nothing_or_is_refused(name: str, happening: Happening) -> None:
    """Late answers, repeated answers, answers to questions that were never asked."""
    order = _order(name)
    happening, now = of_its_version(happening, order), moment()

    if (isinstance(happening, Cancel) and name in TOO_LATE) or (
        isinstance(happening, Complete) and name != "completed"
    ):
        with pytest.raises(IllegalTransition, match=f"order {order.id} is {order.status} and cannot become"):
            react(order, happening, now)
    else:
        assert react(order, happening, now) is None


def test_exploring_finds_these_ways_and_no_others() -> None:
    """So there is no way without an example, and no example of a way that an order cannot take."""
    placed_here = {
        (state_of(_order(source)), type(happening).__name__, state_of(_order(target)))
        for source, happening, target in [*(edge[:3] for edge in EDGES), *LAST_DEADLINES]
    }
    found = {
        (state, happening, outcome.target)
        for (state, happening), outcomes in explore().items()
        for outcome in outcomes
        if outcome.target is not None
    }
    assert found == placed_here


def test_the_states_that_can_be_constructed_are_those_that_can_be_reached() -> None:
    reached = {state_of(_order(name)) for name in STATES}

    assert {(state.status, state.stock, state.payment) for state in reached} == {
        (status, *pair) for status in OrderStatus for pair in PARTNER_STATES[status]
    }


def test_the_fulfilment_begins_by_asking_for_every_line() -> None:
    order, now = placed_order(line("p1", 2), line("p2", 1), line("p1", 3)), moment()

    begun = begin(order, now)

    assert begun.order is order
    assert begun.commands == (
        ReserveStock(event_id=now.stock_command_id, order_id=order.id.value, occurred_at=AT, lines=order.lines),
    )
    assert begun.outgoing == (*order.events, *begun.commands), "the event of the creation goes first"


def test_the_payment_is_charged_what_the_reservation_costs() -> None:
    (charge,) = reaction(placed_order(line("p1", 2), line("p2", 3)), RESERVED).commands

    assert isinstance(charge, ChargePayment)
    assert charge.amount == Money.of("27.97", "EUR")


@pytest.mark.parametrize(
    ("prices", "error"),
    [
        ({}, InvalidOrder),
        ({ProductId("p1"): PRICES[ProductId("p1")]}, InvalidOrder),
        (PRICES | {ProductId("p2"): Money.of("1", "JPY")}, CurrencyMismatch),
    ],
    ids=["no price", "a price is missing", "two currencies"],
)
def test_a_reservation_that_cannot_be_paid_for_is_an_error_and_leaves_the_order_as_it_is(
    prices: dict[ProductId, Money], error: type[Exception]
) -> None:
    order = placed_order(line("p1"), line("p2"))

    with pytest.raises(error):
        react(order, StockReserved(prices), moment())


@pytest.mark.parametrize("name", [name for name in STATES if name != "declined"])
def test_a_reason_that_a_person_understands_stays_with_the_order(name: str) -> None:
    reasons = {
        "rejected unreserved": "sold out",
        "rejected unpaid": "no cover",
        "stuck: declined": "no cover",
        **dict.fromkeys(("placed", "reserved", "confirmed", "completed")),
    }

    assert _order(name).reason == reasons.get(name, "cancelled by the customer")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("placed", "its stock was not reserved in time"), ("reserved", "its payment was not answered in time")],
)
def test_an_order_that_waited_for_too_long_says_for_what(name: str, reason: str) -> None:
    late = led(_order(name), TIME_IS_UP)
    cancelled = led(late, *((RELEASED,) if late.payment is None else (REFUNDED, RELEASED)))

    assert late.reason == late.timeline[-1].detail == cancelled.reason == cancelled.timeline[-1].detail == reason
    assert cancelled.status is OrderStatus.CANCELLED


@pytest.mark.parametrize("name", [name for name in STATES if _order(name).status in ON_THE_WAY])
def test_the_deadline_of_an_order_that_went_on_since_changes_nothing(name: str) -> None:
    """Whatever the clocks say: an order is overdue in the version that somebody saw overdue, and in no other."""
    order = _order(name)

    assert react(order, DeadlinePassed(order.version - 1), moment()) is None
    assert react(order, DeadlinePassed(order.version + 1), moment()) is None
    assert react(order, DeadlinePassed(order.version), moment(AT - timedelta(days=365))) is not None


@pytest.mark.parametrize("name", ["placed", "reserved", *COMPENSATING])
def test_each_question_gives_its_answer_the_time_of_a_step(name: str) -> None:
    """A first of two answers does not give the other one more time: its deadline stays."""
    way = STATES[name]
    order = led(placed_order(), *way[:-1])
    if way:
        order = reaction(order, way[-1]).order

    assert order.patience == (STEP_TIMEOUT if way[-1:] in ((), (RESERVED,), (CANCEL,), (NO_COVER,)) else None)


@pytest.mark.parametrize("name", COMPENSATING)
def test_a_compensation_is_asked_for_again_ever_more_patiently_and_then_the_order_is_stuck(name: str) -> None:
    order, pauses = _order(name), []
    while order.status is not OrderStatus.STUCK:
        order = led(order, TIME_IS_UP)
        if order.patience is not None:
            pauses.append(order.patience / STEP_TIMEOUT)

    assert pauses == [2, 4, 8, 16, 32]
    assert order.attempts == MAX_COMPENSATIONS == 5
    assert (order.patience, order.reason) == (None, _order(name).reason)
    assert order.timeline[-2].detail == "compensation asked for again, attempt 5"


@pytest.mark.parametrize(
    ("name", "open_ends"),
    [
        ("declined", "the stock may still be reserved"),
        ("taking back the stock", "the stock may still be reserved"),
        ("taking back both", "the stock may still be reserved and the payment may still be captured"),
        ("taking back the payment", "the payment may still be captured"),
        ("refunded, taking back the stock", "the stock may still be reserved"),
    ],
)
def test_a_stuck_order_names_what_is_not_settled(name: str, open_ends: str) -> None:
    assert _order(f"stuck: {name}").timeline[-1].detail == open_ends


@pytest.mark.parametrize("name", COMPENSATING)
def test_a_retry_begins_the_compensation_of_a_stuck_order_anew(name: str) -> None:
    retried = reaction(_order(f"stuck: {name}"), RETRY).order
    assert (retried.attempts, retried.patience) == (0, STEP_TIMEOUT)

    stuck_again = led(retried, *NOBODY_ANSWERS, TIME_IS_UP)

    assert stuck_again.status is OrderStatus.STUCK


def test_reacting_is_pure() -> None:
    order, now = placed_order(), Moment(LATER, uuid7(), uuid7(), uuid7(), STEP_TIMEOUT)
    copy = replace(order)

    assert react(order, RESERVED, now) == react(order, RESERVED, now)
    assert order == copy
