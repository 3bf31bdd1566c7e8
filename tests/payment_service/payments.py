"""Payments in every state, and what it takes to decide on them."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from messaging.ports.changes import InboxClaim, Write
from payment_service.application.ports import PaymentWrite
from payment_service.domain.lease import Holder, Lease
from payment_service.domain.payment import Moment, Payment, PaymentStatus, Step
from shared_kernel.money import Money

NOW = datetime(2026, 11, 23, 18, 43, 16, tzinfo=UTC)
LEASE = Lease(timedelta(seconds=15), Holder("place-0", "first"))
SUCCESSOR = Lease(LEASE.length, Holder("place-0", "second"))
NEIGHBOUR = Lease(LEASE.length, Holder("place-01", "another"))
AMOUNT = Money.of("29.90", "EUR")


@dataclass(slots=True)
class ManualClock:
    """A clock that goes on when it is told to."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        """The same as a stopwatch."""
        return (self.now - NOW).total_seconds()

    def advance(self, **by: float) -> None:
        """Let so much time pass: `seconds=`, `minutes=`."""
        self.now += timedelta(**by)


def moment(now: datetime = NOW, *, lease: Lease | None = LEASE) -> Moment:
    """A moment in which something is decided."""
    return Moment(now, uuid7(), lease)


def claim() -> InboxClaim:
    """The claim of an event that nobody has seen before."""
    return InboxClaim(uuid7())


def a_payment(status: PaymentStatus, order_id: UUID | None = None, **changes: Any) -> Payment:
    """A payment in this state."""
    charged = status in (PaymentStatus.CAPTURED, PaymentStatus.REFUNDING, PaymentStatus.REFUNDED)
    fields: dict[str, Any] = {
        "order_id": order_id or uuid7(),
        "amount": AMOUNT,
        "status": status,
        "reason": "no cover" if status is PaymentStatus.DECLINED else None,
        "reference": "ch_1" if charged else None,
        "version": 3,
        "attempts": 1,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Payment(**fields | changes)


def intent(order_id: UUID | None = None, amount: Money = AMOUNT, *, lease: Lease | None = LEASE) -> Step:
    """The first step of a payment: it is to be charged."""
    return Payment.intent(order_id or uuid7(), amount, moment(lease=lease))


def stored(payment: Payment) -> Payment:
    """The payment as a store gives it back: the store knows when its call is due."""
    return replace(payment, call_after=None)


def taking(step: Step, event_claim: InboxClaim | None = None) -> PaymentWrite:
    """The write of a step that was decided already."""
    return Write(step.payment.order_id, lambda _: step, event_claim)


def charging(order_id: UUID, event_claim: InboxClaim | None = None) -> PaymentWrite:
    """The write of a ChargePayment command."""
    now = moment()

    def decide(payment: Payment | None) -> Step | None:
        return payment.charge(AMOUNT, now) if payment else Payment.intent(order_id, AMOUNT, now)

    return Write(order_id, decide, event_claim)


def taking_back(order_id: UUID, event_claim: InboxClaim | None = None) -> PaymentWrite:
    """The write of a RefundPayment command."""
    now = moment()

    def decide(payment: Payment | None) -> Step | None:
        return payment.refund(now) if payment else Payment.tombstone(order_id, now)

    return Write(order_id, decide, event_claim)
