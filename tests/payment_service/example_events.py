"""One of every event, with fixed ids and times, brought about by the domain as in life. The golden files are theirs."""

from datetime import UTC, datetime
from uuid import UUID

from payment_service.domain.events import PaymentEvent
from payment_service.domain.payment import Moment, Payment, Step
from shared_kernel.money import Money
from tests.payment_service.payments import LEASE

_ORDER = UUID("019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e")


def _moment(number: int) -> Moment:
    at = datetime(2026, 11, 23, 18, 43, 16 + number, 123, tzinfo=UTC)
    return Moment(at, UUID(f"019ab1f0-6c1e-7000-8000-{0x300 + number:012x}"), LEASE)


def _event(step: Step | None) -> PaymentEvent:
    assert step is not None
    assert step.event is not None
    return step.event


def _examples() -> dict[str, PaymentEvent]:
    intent = Payment.intent(_ORDER, Money.of("29.90", "EUR"), _moment(0)).payment
    captured = intent.charged("ch_1", _moment(1))
    assert captured is not None
    refunding = captured.payment.refund(_moment(3))
    assert refunding is not None
    return {
        "PaymentCaptured.v1": _event(captured),
        "PaymentDeclined.v1": _event(intent.declined("the amount 29.90 EUR is over the limit of 20.00", _moment(2))),
        "PaymentRefunded.v1": _event(refunding.payment.refunded(_moment(4))),
        "PaymentRefunded.v1.nothing-was-charged": _event(Payment.tombstone(_ORDER, _moment(5))),
    }


EXAMPLES = _examples()
"""By the name of their golden file: type, version, and what is special about it."""
