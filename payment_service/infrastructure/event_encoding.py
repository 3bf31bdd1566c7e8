"""Payment events as bytes on the topic `payment-events`. The shapes below are the contract; docs/events.md has the
rules."""

from typing import TypedDict

from messaging.ports.message import Message, cloud_event
from payment_service.domain import PaymentCaptured, PaymentDeclined, PaymentEvent, PaymentRefunded
from shared_kernel.money import Money

TOPIC = "payment-events"
SOURCE = "/payment-service"
VERSION = 1


class MoneyV1(TypedDict):
    """A decimal string and an ISO 4217 currency."""

    amount: str
    currency: str


class PaymentCapturedV1(TypedDict):
    """The amount is ours; `reference` is the gateway's name for it."""

    amount: MoneyV1
    reference: str


class PaymentDeclinedV1(TypedDict):
    """Nothing was charged, and nothing will be."""

    reason: str


class PaymentRefundedV1(TypedDict):
    """Nothing is charged any more: the amount was given back, or is null when nothing had been charged."""

    amount: MoneyV1 | None


Payload = PaymentCapturedV1 | PaymentDeclinedV1 | PaymentRefundedV1


def encode(event: PaymentEvent) -> Message:
    """The event's message, final."""
    return cloud_event(
        event_id=event.event_id,
        event_type=type(event).__name__,
        event_version=VERSION,
        occurred_at=event.occurred_at,
        source=SOURCE,
        topic=TOPIC,
        order_id=event.order_id,
        data=_payload(event),
    )


def _payload(event: PaymentEvent) -> Payload:
    match event:
        case PaymentCaptured():
            return {"amount": _money(event.amount), "reference": event.reference}
        case PaymentDeclined():
            return {"reason": event.reason}
        case PaymentRefunded():
            return {"amount": _money(event.amount) if event.amount else None}


def _money(money: Money) -> MoneyV1:
    return {"amount": money.amount, "currency": money.currency}
