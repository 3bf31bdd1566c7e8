"""The payment of one order, as pure decisions: what a command or the gateway's answer makes of it.

    none      ─charge▶ CHARGING ─charged▶ CAPTURED ─refund▶ REFUNDING ─refunded▶ REFUNDED
    none      ─refund▶ REFUNDED              a tombstone: a charge that comes later is refused
    CHARGING  ─declined▶ DECLINED
    CHARGING  ─refund▶ REFUNDED              when the gateway was never called: nothing was charged
    CHARGING  ─refund▶ VOIDING               when it was: money may have moved, and nobody knows yet
    VOIDING   ─charged▶ REFUNDING
    VOIDING   ─declined▶ REFUNDED            with nothing to give back

In CHARGING, VOIDING and REFUNDING a call to the gateway is under way or due. It is made again, with the same key, until
the gateway has said what became of it.

Versions order what happens to a payment. Its times are for people, and never step back, though the clocks of the
machines that they come from do. When a call is due is for the store to say, by its one clock.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self, TypeAlias
from uuid import UUID

from shared_kernel.money import Money
from shared_kernel.reason import MAX_REASON, reason_of

MAX_MINOR = 2**63 - 1
MAX_REFERENCE = MAX_REASON
DECLINED = "the payment was declined"
TAKEN_BACK = "the order was taken back before it was charged"
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=60)
_LONGEST_WISH = timedelta(minutes=10)


class InvalidPayment(ValueError):
    """A payment that cannot be; the text says why."""


class AmountChanged(ValueError):
    """The order was to be charged another amount before."""


class PaymentStatus(StrEnum):
    """See the picture above."""

    CHARGING = "CHARGING"
    VOIDING = "VOIDING"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"


class Call(StrEnum):
    """What the gateway can be asked for."""

    CHARGE = "charge"
    REFUND = "refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptured:
    """The amount is ours; `reference` is the gateway's name for it."""

    event_id: UUID
    order_id: UUID
    occurred_at: datetime
    amount: Money
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDeclined:
    """Nothing was charged, and nothing will be."""

    event_id: UUID
    order_id: UUID
    occurred_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefunded:
    """Nothing is charged any more: `amount` was given back, or None when nothing had been charged."""

    event_id: UUID
    order_id: UUID
    occurred_at: datetime
    amount: Money | None


PaymentEvent: TypeAlias = PaymentCaptured | PaymentDeclined | PaymentRefunded

_CALLS = {
    PaymentStatus.CHARGING: Call.CHARGE,
    PaymentStatus.VOIDING: Call.CHARGE,
    PaymentStatus.REFUNDING: Call.REFUND,
}


@dataclass(frozen=True, slots=True)
class Moment:
    """What a decision needs of the world: the time, a new event's id, and for how long its maker keeps others from
    making the call that it may lead to. `lease` None says that the maker has no room, and whoever has makes the call.
    """

    now: datetime
    event_id: UUID
    lease: timedelta | None


@dataclass(frozen=True, slots=True)
class Step:
    """What was decided. `call` says that whoever commits it makes the payment's next call, at once."""

    payment: "Payment"
    event: PaymentEvent | None = None
    call: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment as it was last committed.

    `attempts` counts the calls that were begun for the charge, or then for the refund; 0 in CHARGING means that nobody
    can have charged anything. `call_after` is how long after the commit anybody may make the next call; None leaves
    that as it is. A REFUNDED payment without an amount is one that never was charged. Raises InvalidPayment.
    """

    order_id: UUID
    amount: Money | None
    status: PaymentStatus
    reason: str | None = None
    reference: str | None = None
    version: int
    attempts: int
    created_at: datetime
    updated_at: datetime
    call_after: timedelta | None = None

    def __post_init__(self) -> None:
        status = self.status
        was_charged = status in (PaymentStatus.CAPTURED, PaymentStatus.REFUNDING) or (
            status is PaymentStatus.REFUNDED and self.amount is not None
        )
        for holds, rule in (
            (self.amount is not None or status is PaymentStatus.REFUNDED, "has an amount"),
            (self.amount is None or self.amount.minor <= MAX_MINOR, "has an amount that fits into 63 bits"),
            ((self.reference is not None) == was_charged, "has a reference exactly when it was charged"),
            ((self.reason is not None) == (status is PaymentStatus.DECLINED), "has a reason exactly when declined"),
            (self.reference is None or _is_storable(self.reference), "has a reference of 1 to 500 characters"),
            (self.call_after is None or status in _CALLS, "is called for only while in doubt"),
            (self.attempts >= (status is PaymentStatus.VOIDING), "was called before it is voided"),
            (self.version >= 1 and self.updated_at >= self.created_at, "has a version, and changes after it began"),
        ):
            if not holds:
                raise InvalidPayment(f"a payment that is {status} {rule}: {self}")

    @classmethod
    def intent(cls, order_id: UUID, amount: Money, moment: Moment) -> Step:
        """The order is to be charged, for the first time."""
        return Step(_new(order_id, amount, PaymentStatus.CHARGING, moment, **_begun(moment)), call=bool(moment.lease))

    @classmethod
    def tombstone(cls, order_id: UUID, moment: Moment) -> Step:
        """The order is to be refunded and never was charged: a charge that comes later will be refused."""
        tombstone = _new(order_id, None, PaymentStatus.REFUNDED, moment, attempts=0)
        return Step(tombstone, _refunded(tombstone, moment))

    @property
    def next_call(self) -> Call | None:
        """What the gateway is to be asked for."""
        return _CALLS.get(self.status)

    def charge(self, amount: Money, moment: Moment) -> Step | None:
        """The order is to be charged. None when the answer is on its way. Raises AmountChanged."""
        if self.amount not in (None, amount):
            raise AmountChanged(f"the order was to be charged {_words(self.amount)} before, not {_words(amount)}")
        again = self._to(self.status, moment)
        match self.status:
            case PaymentStatus.CHARGING:
                return None
            case PaymentStatus.CAPTURED:
                return Step(again, _captured(again, moment))
            case PaymentStatus.DECLINED:
                return Step(again, _declined(again, self.reason or DECLINED, moment))
            case _:
                return Step(again, _declined(again, TAKEN_BACK, moment))

    def refund(self, moment: Moment) -> Step | None:
        """What was charged, or may have been, is to be given back. None when that is under way."""
        match self.status:
            case PaymentStatus.CHARGING if self.attempts == 0:
                return self._to_nothing_charged(moment)
            case PaymentStatus.CHARGING:
                return Step(self._to(PaymentStatus.VOIDING, moment))
            case PaymentStatus.CAPTURED:
                return self._to_refunding(moment, self.reference)
            case PaymentStatus.DECLINED | PaymentStatus.REFUNDED:
                again = self._to(self.status, moment)
                return Step(again, _refunded(again, moment))
            case _:
                return None

    def charged(self, reference: str, moment: Moment) -> Step | None:
        """The gateway took the money. None when that is known already."""
        match self.status:
            case PaymentStatus.CHARGING:
                captured = self._to(PaymentStatus.CAPTURED, moment, reference=reference)
                return Step(captured, _captured(captured, moment))
            case PaymentStatus.VOIDING:
                return self._to_refunding(moment, reference)
            case _:
                return None

    def declined(self, reason: str, moment: Moment) -> Step | None:
        """The gateway did not, and never will, take the money. None when that is known already."""
        match self.status:
            case PaymentStatus.CHARGING:
                reason = reason_of(reason, DECLINED)
                declined = self._to(PaymentStatus.DECLINED, moment, reason=reason)
                return Step(declined, _declined(declined, reason, moment))
            case PaymentStatus.VOIDING:
                return self._to_nothing_charged(moment)
            case _:
                return None

    def refunded(self, moment: Moment) -> Step | None:
        """The gateway gave the money back. None when that is known already."""
        if self.status is not PaymentStatus.REFUNDING:
            return None
        refunded = self._to(PaymentStatus.REFUNDED, moment)
        return Step(refunded, _refunded(refunded, moment))

    def unanswered(self, call: Call, moment: Moment, wished: timedelta = timedelta()) -> Step | None:
        """The gateway did not say what became of `call`: it is made again after a pause that doubles up to a minute, or
        after the pause that the gateway wished for, up to ten."""
        if self.next_call is not call:
            return None
        pause = min(_FIRST_PAUSE * 2 ** min(max(self.attempts - 1, 0), 16), _LONGEST_PAUSE)
        pause = max(pause, min(wished, _LONGEST_WISH))
        return Step(self._to(self.status, moment, call_after=pause))

    def claimed(self, now: datetime, lease: timedelta) -> Self:
        """The payment with one more call begun, which nobody else makes during the `lease`."""
        at = max(now, self.updated_at)
        return replace(self, version=self.version + 1, attempts=self.attempts + 1, call_after=lease, updated_at=at)

    def _to_refunding(self, moment: Moment, reference: str | None) -> Step:
        begun = _begun(moment)
        return Step(self._to(PaymentStatus.REFUNDING, moment, reference=reference, **begun), call=bool(moment.lease))

    def _to_nothing_charged(self, moment: Moment) -> Step:
        void = self._to(PaymentStatus.REFUNDED, moment, amount=None)
        return Step(void, _refunded(void, moment))

    def _to(self, status: PaymentStatus, moment: Moment, **changes: Any) -> Self:
        at = max(moment.now, self.updated_at)
        still = {"call_after": self.call_after if status in _CALLS else None}
        return replace(self, status=status, version=self.version + 1, updated_at=at, **still | changes)


def _is_storable(reference: str) -> bool:
    # What prints differs between versions of Python, and what was stored stays readable.
    return 0 < len(reference) <= MAX_REFERENCE and "\0" not in reference


def _captured(payment: Payment, moment: Moment) -> PaymentCaptured:
    if payment.amount is None or payment.reference is None:
        raise InvalidPayment(f"nothing was captured: {payment}")
    return PaymentCaptured(**_of(payment, moment), amount=payment.amount, reference=payment.reference)


def _declined(payment: Payment, reason: str, moment: Moment) -> PaymentDeclined:
    return PaymentDeclined(**_of(payment, moment), reason=reason)


def _refunded(payment: Payment, moment: Moment) -> PaymentRefunded:
    given_back = payment.amount if payment.status is PaymentStatus.REFUNDED else None
    return PaymentRefunded(**_of(payment, moment), amount=given_back)


def _of(payment: Payment, moment: Moment) -> dict[str, Any]:
    return {"event_id": moment.event_id, "order_id": payment.order_id, "occurred_at": payment.updated_at}


def _words(amount: Money | None) -> str:
    return f"{amount.amount} {amount.currency}" if amount else "nothing"


def _begun(moment: Moment) -> dict[str, Any]:
    """A call that its maker begins at once, or one that waits for whoever has room."""
    if moment.lease is None:
        return {"attempts": 0, "call_after": timedelta(0)}
    return {"attempts": 1, "call_after": moment.lease}


def _new(order_id: UUID, amount: Money | None, status: PaymentStatus, moment: Moment, **call: Any) -> Payment:
    now = moment.now
    return Payment(order_id=order_id, amount=amount, status=status, version=1, created_at=now, updated_at=now, **call)
