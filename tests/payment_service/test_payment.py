"""What becomes of a payment in each state, by each input: the table that the service rests on."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from payment_service.domain.events import PaymentCaptured, PaymentDeclined, PaymentRefunded
from payment_service.domain.payment import (
    MAX_MINOR,
    TAKEN_BACK,
    AmountChanged,
    Call,
    InvalidPayment,
    Payment,
    PaymentStatus,
    Step,
)
from shared_kernel.money import Money
from tests.payment_service.payments import AMOUNT, LEASE, NOW, a_payment, moment

AT_ONCE = timedelta(0)

STATES = {
    "waiting": a_payment(PaymentStatus.CHARGING, attempts=0),
    "charging": a_payment(PaymentStatus.CHARGING),
    "voiding": a_payment(PaymentStatus.VOIDING),
    "captured": a_payment(PaymentStatus.CAPTURED),
    "declined": a_payment(PaymentStatus.DECLINED),
    "refunding": a_payment(PaymentStatus.REFUNDING),
    "refunded": a_payment(PaymentStatus.REFUNDED),
    "tombstone": a_payment(PaymentStatus.REFUNDED, amount=None, reference=None),
}
INPUTS: dict[str, Callable[[Payment], Step | None]] = {
    "charge": lambda payment: payment.charge(AMOUNT, moment()),
    "refund": lambda payment: payment.refund(moment()),
    "charged": lambda payment: payment.charged("ch_2", moment()),
    "refused": lambda payment: payment.declined("too dear", moment()),
    "returned": lambda payment: payment.refunded(moment()),
    "charge?": lambda payment: payment.unanswered(Call.CHARGE, moment()),
    "refund?": lambda payment: payment.unanswered(Call.REFUND, moment()),
}

# The state and the event that follow; `!` says that the next call is made at once, `-` that there is nothing to do.
TABLE = """
            charge                refund              charged            refused            returned           charge?   refund?
waiting     -                     REFUNDED+Refunded   CAPTURED+Captured  DECLINED+Declined  -                  CHARGING  -
charging    -                     VOIDING             CAPTURED+Captured  DECLINED+Declined  -                  CHARGING  -
voiding     VOIDING+Declined      -                   REFUNDING!         REFUNDED+Refunded  -                  VOIDING   -
captured    CAPTURED+Captured     REFUNDING!          -                  -                  -                  -         -
declined    DECLINED+Declined     DECLINED+Refunded   -                  -                  -                  -         -
refunding   REFUNDING+Declined    -                   -                  -                  REFUNDED+Refunded  -         REFUNDING
refunded    REFUNDED+Declined     REFUNDED+Refunded   -                  -                  -                  -         -
tombstone   REFUNDED+Declined     REFUNDED+Refunded   -                  -                  -                  -         -
"""  # noqa: E501


def _cells() -> list[tuple[str, str, str]]:
    header, *rows = [line.split() for line in TABLE.strip().splitlines()]
    return [(row[0], what, cell) for row in rows for what, cell in zip(header, row[1:], strict=True)]


def _as_cell(step: Step | None) -> str:
    if step is None:
        return "-"
    event = f"+{type(step.event).__name__.removeprefix('Payment')}" if step.event else ""
    return f"{step.payment.status}{event}{'!' if step.call else ''}"


@pytest.mark.parametrize(("state", "what", "expected"), _cells())
def test_every_input_in_every_state_has_its_consequence(state: str, what: str, expected: str) -> None:
    payment = STATES[state]

    step = INPUTS[what](payment)

    assert _as_cell(step) == expected
    if step is not None:
        assert step.payment.version == payment.version + 1
        assert step.payment.order_id == payment.order_id


def test_the_table_has_every_input_in_every_state() -> None:
    assert {(state, what) for state, what, _ in _cells()} == {(state, what) for state in STATES for what in INPUTS}


def test_a_first_charge_is_an_intent_whose_call_is_left_to_its_maker_for_a_while() -> None:
    step = Payment.intent(uuid7(), AMOUNT, moment())

    assert (step.payment.status, step.payment.amount, step.call) == (PaymentStatus.CHARGING, AMOUNT, True)
    assert (step.payment.attempts, step.payment.call_after) == (1, LEASE)
    assert step.event is None


def test_a_first_charge_whose_maker_has_no_room_is_due_at_once_and_nobody_has_called() -> None:
    step = Payment.intent(uuid7(), AMOUNT, moment(lease=None))

    assert (step.payment.attempts, step.payment.call_after, step.call) == (0, AT_ONCE, False)


def test_a_refund_whose_maker_has_no_room_is_due_at_once() -> None:
    step = STATES["captured"].refund(moment(lease=None))

    assert step is not None
    assert (step.payment.status, step.payment.attempts, step.call) == (PaymentStatus.REFUNDING, 0, False)
    assert step.payment.call_after == AT_ONCE


def test_a_refund_before_the_charge_leaves_a_tombstone_that_refuses_it() -> None:
    tombstone = Payment.tombstone(uuid7(), moment())
    late = tombstone.payment.charge(AMOUNT, moment())

    assert isinstance(tombstone.event, PaymentRefunded)
    assert tombstone.event.amount is None
    assert late is not None
    assert isinstance(late.event, PaymentDeclined)
    assert late.event.reason == TAKEN_BACK
    assert late.payment.next_call is None


def test_captured_says_how_much_and_by_which_reference() -> None:
    step = STATES["charging"].charged("ch_2", moment())

    assert step is not None
    assert isinstance(step.event, PaymentCaptured)
    assert (step.event.amount, step.event.reference) == (AMOUNT, "ch_2")
    assert (step.payment.reference, step.payment.call_after) == ("ch_2", None)


def test_declined_says_why_also_when_it_is_asked_again() -> None:
    first = STATES["charging"].declined("too dear", moment())
    assert first is not None
    again = first.payment.charge(AMOUNT, moment())

    assert again is not None
    for step in (first, again):
        assert isinstance(step.event, PaymentDeclined)
        assert step.event.reason == "too dear"


@pytest.mark.parametrize(
    ("state", "what", "given_back"),
    [
        ("refunding", "returned", AMOUNT),
        ("refunded", "refund", AMOUNT),
        ("tombstone", "refund", None),
        ("declined", "refund", None),
        ("waiting", "refund", None),
        ("voiding", "refused", None),
    ],
)
def test_refunded_says_how_much_was_given_back(state: str, what: str, given_back: Money | None) -> None:
    step = INPUTS[what](STATES[state])

    assert step is not None
    assert isinstance(step.event, PaymentRefunded)
    assert step.event.amount == given_back
    if step.payment.status is PaymentStatus.REFUNDED:
        assert step.payment.amount == given_back


def test_what_a_payment_in_doubt_is_called_for_is_left_to_whoever_began_it() -> None:
    calling = a_payment(PaymentStatus.CHARGING)

    voiding = calling.refund(moment())

    assert voiding is not None
    assert voiding.payment.call_after is None, "the call under way will tell what became of the charge"
    assert voiding.payment.next_call is Call.CHARGE


def test_an_unanswered_call_is_made_again_after_a_pause_that_doubles_up_to_a_minute() -> None:
    pauses = []
    for attempts in (1, 2, 3, 6, 7, 1_000_000):
        step = a_payment(PaymentStatus.CHARGING, attempts=attempts).unanswered(Call.CHARGE, moment())
        assert step is not None
        assert isinstance(step.payment.call_after, timedelta), "it is left to nobody"
        pauses.append(step.payment.call_after.total_seconds())

    assert pauses == [1, 2, 4, 32, 60, 60]


@pytest.mark.parametrize(
    ("wished", "pause"), [(-5, 4), (0, 4), (3.9, 4), (90, 90), (600, 600), (601, 600), (10**9, 600)]
)
def test_the_pause_that_the_gateway_wishes_for_is_kept_up_to_ten_minutes(wished: float, pause: int) -> None:
    charging = a_payment(PaymentStatus.CHARGING, attempts=3)
    step = charging.unanswered(Call.CHARGE, moment(), timedelta(seconds=wished))

    assert step is not None
    assert step.payment.call_after == timedelta(seconds=pause)


@pytest.mark.parametrize("given", ["", "  ", "\0", "\u200b"], ids=ascii)
def test_a_payment_that_is_declined_without_a_word_says_so(given: str) -> None:
    step = STATES["charging"].declined(given, moment())

    assert step is not None
    assert isinstance(step.event, PaymentDeclined)
    assert step.payment.reason == step.event.reason == "the payment was declined"


def test_a_payment_that_was_stored_with_an_odd_reason_can_be_read_and_is_told_again() -> None:
    step = replace(STATES["declined"], reason="an emoji of a later Unicode \U0001fadf\t").charge(AMOUNT, moment())

    assert step is not None
    assert isinstance(step.event, PaymentDeclined)


@pytest.mark.parametrize("state", ["waiting", "charging", "voiding", "captured", "declined", "refunding", "refunded"])
def test_another_amount_than_the_first_is_refused_in_words(state: str) -> None:
    with pytest.raises(AmountChanged, match=r"charged 29.90 EUR before, not 30.00 EUR"):
        STATES[state].charge(Money.of("30.00", "EUR"), moment())


@pytest.mark.parametrize(("state", "what"), [(state, what) for state, what, cell in _cells() if cell != "-"])
def test_a_clock_that_is_behind_lets_no_payment_change_and_no_event_happen_before_what_was(
    state: str, what: str
) -> None:
    began = NOW + timedelta(hours=1)
    step = INPUTS[what](replace(STATES[state], updated_at=began))

    assert step is not None
    assert step.payment.updated_at == began
    assert step.event is None or step.event.occurred_at == began


def test_a_claimed_payment_has_one_more_call_begun() -> None:
    claimed = STATES["waiting"].claimed(NOW - timedelta(hours=1), LEASE)

    assert (claimed.attempts, claimed.call_after, claimed.version) == (1, LEASE, 4)
    assert claimed.updated_at == NOW


IMPOSSIBLE: list[tuple[str, dict[str, Any]]] = [
    ("charging", {"amount": None}),
    ("captured", {"amount": None}),
    ("refunding", {"amount": None}),
    ("charging", {"amount": Money(MAX_MINOR + 1, "EUR")}),
    ("captured", {"reference": None}),
    ("charging", {"reference": "ch_1"}),
    ("refunded", {"reference": None}),
    ("tombstone", {"reference": "ch_1"}),
    ("captured", {"reference": ""}),
    ("captured", {"reference": "a\0"}),
    ("captured", {"reference": "x" * 501}),
    ("declined", {"reason": None}),
    ("charging", {"reason": "no cover"}),
    ("captured", {"call_after": LEASE}),
    ("voiding", {"attempts": 0}),
    ("charging", {"attempts": -1}),
    ("charging", {"version": 0}),
    ("charging", {"updated_at": NOW - timedelta(seconds=1)}),
]


@pytest.mark.parametrize(("state", "changes"), IMPOSSIBLE)
def test_a_payment_that_cannot_be_is_refused(state: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidPayment, match="a payment that is"):
        replace(STATES[state], **changes)
