"""The payment of one order. Pure decisions apply commands and the gateway's answers to it.

    none      ─charge▶ CHARGING ─charged▶ CAPTURED ─refund▶ REFUNDING ─refunded▶ REFUNDED
    none      ─refund▶ REFUNDED              a tombstone: a charge that comes later is refused
    CHARGING  ─declined▶ DECLINED
    CHARGING  ─refund▶ REFUNDED              if the gateway was never called: nothing was charged
    CHARGING  ─refund▶ VOIDING               if it was called: money may have moved
    VOIDING   ─charged▶ REFUNDING
    VOIDING   ─declined▶ REFUNDED            with nothing to give back

In CHARGING, VOIDING and REFUNDING a call to the gateway is under way or due. The call is repeated with the same key
until the gateway has answered it.

Versions give the changes of a payment their sequence. Its times are for people, and never step back, although the
clocks of machines do. The store decides by its own clock when a call is due.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from payment_service.domain.events import PaymentCaptured, PaymentDeclined, PaymentEvent, PaymentRefunded
from payment_service.domain.lease import Lease
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
    """The payment would break a rule. The text says which rule."""


class AmountChanged(ValueError):
    """A different amount was asked for the order before."""


class PaymentStatus(StrEnum):
    """The states of the diagram above."""

    CHARGING = "CHARGING"
    VOIDING = "VOIDING"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"


class Call(StrEnum):
    """The calls to the gateway."""

    CHARGE = "charge"
    REFUND = "refund"


_CALLS = {
    PaymentStatus.CHARGING: Call.CHARGE,
    PaymentStatus.VOIDING: Call.CHARGE,
    PaymentStatus.REFUNDING: Call.REFUND,
}


@dataclass(frozen=True, slots=True)
class Moment:
    """The time of a decision, the id of its event, and the lease of the call that it may lead to.

    A `lease` of None means that this process has no room for a call, so any process with room makes it.
    """

    now: datetime
    event_id: UUID
    lease: Lease | None


@dataclass(frozen=True, slots=True)
class Step:
    """A decision. With `call`, the process that commits it makes the payment's next call at once."""

    payment: "Payment"
    event: PaymentEvent | None = None
    call: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment as it was last committed.

    `attempts` counts the calls that were begun for the charge, or later for the refund. 0 in CHARGING means that
    nothing can have been charged. `call_after` is what passes after the commit before any process may make the next
    call: a pause, or the lease of the process that makes it now. None leaves that time as it is. A REFUNDED payment
    without an amount never was charged. `caller` is whose order it is, if the command said so. Raises InvalidPayment.
    """

    order_id: UUID
    amount: Money | None
    status: PaymentStatus
    caller: str | None = None
    reason: str | None = None
    reference: str | None = None
    version: int
    attempts: int
    created_at: datetime
    updated_at: datetime
    call_after: timedelta | Lease | None = None

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
    def intent(cls, order_id: UUID, amount: Money, moment: Moment, caller: str | None = None) -> Step:
        """The first command is a charge."""
        begun = _begun(moment)
        payment = _new(order_id, amount, PaymentStatus.CHARGING, moment, caller=caller, **begun)
        return Step(payment, call=bool(moment.lease))

    @classmethod
    def tombstone(cls, order_id: UUID, moment: Moment) -> Step:
        """The first command is a refund. Nothing was charged, and a charge that comes later will be refused."""
        tombstone = _new(order_id, None, PaymentStatus.REFUNDED, moment, attempts=0)
        return Step(tombstone, _refunded(tombstone, moment))

    @property
    def next_call(self) -> Call | None:
        """The call to the gateway that comes next."""
        return _CALLS.get(self.status)

    def charge(self, amount: Money, moment: Moment) -> Step | None:
        """A charge is asked for. None when one is under way. Raises AmountChanged."""
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
        """A refund is asked for. None when one is under way."""
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
        """The gateway took the money. None when this is known already."""
        match self.status:
            case PaymentStatus.CHARGING:
                captured = self._to(PaymentStatus.CAPTURED, moment, reference=reference)
                return Step(captured, _captured(captured, moment))
            case PaymentStatus.VOIDING:
                return self._to_refunding(moment, reference)
            case _:
                return None

    def declined(self, reason: str, moment: Moment) -> Step | None:
        """The gateway did not take the money, and never will. None when this is known already."""
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
        """The gateway gave the money back. None when this is known already."""
        if self.status is not PaymentStatus.REFUNDING:
            return None
        refunded = self._to(PaymentStatus.REFUNDED, moment)
        return Step(refunded, _refunded(refunded, moment))

    def unanswered(self, call: Call, moment: Moment, wished: timedelta = timedelta()) -> Step | None:
        """The gateway gave no usable answer to `call`. The call is made again after a pause, which doubles up to a
        minute. If the gateway asked for a longer pause, that one is kept, up to ten minutes."""
        if self.next_call is not call:
            return None
        pause = min(_FIRST_PAUSE * 2 ** min(max(self.attempts - 1, 0), 16), _LONGEST_PAUSE)
        pause = max(pause, min(wished, _LONGEST_WISH))
        return Step(self._to(self.status, moment, call_after=pause))

    def claimed(self, now: datetime, lease: Lease) -> Self:
        """The payment with one more call begun."""
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
    # No check for printable characters: they differ between versions of Python, and stored payments must stay readable.
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
    """The fields of a call that this process begins at once, or of one that waits for a process with room."""
    if moment.lease is None:
        return {"attempts": 0, "call_after": timedelta(0)}
    return {"attempts": 1, "call_after": moment.lease}


def _new(order_id: UUID, amount: Money | None, status: PaymentStatus, moment: Moment, **others: Any) -> Payment:
    now = moment.now
    return Payment(order_id=order_id, amount=amount, status=status, version=1, created_at=now, updated_at=now, **others)
