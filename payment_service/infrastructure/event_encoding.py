"""Payment events as bytes on the topic `payment-events`. The shapes below are the contract; docs/events.md has the
rules."""

from typing import TypedDict

from messaging.ports.message import Message, message_of
from payment_service.domain.events import PaymentCaptured, PaymentDeclined, PaymentEvent, PaymentRefunded
from payment_service.domain.payment import Payment, Step
from shared_kernel.money_v1 import MoneyV1, money_v1

TOPIC = "payment-events"
SOURCE = "/payment-service"
VERSION = 1


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
    """The final message of an event."""
    return message_of(event, source=SOURCE, topic=TOPIC, version=VERSION, data=_payload(event))


def _payload(event: PaymentEvent) -> Payload:
    match event:
        case PaymentCaptured():
            return {"amount": money_v1(event.amount), "reference": event.reference}
        case PaymentDeclined():
            return {"reason": event.reason}
        case PaymentRefunded():
            return {"amount": money_v1(event.amount) if event.amount else None}


def effect_of(step: Step) -> tuple[Payment, list[Message]]:
    """The payment that a store keeps of a step, and the messages that are sent with it."""
    return step.payment, [encode(step.event)] if step.event else []
