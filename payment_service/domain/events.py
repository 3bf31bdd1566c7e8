"""The events of a payment."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from shared_kernel.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptured:
    """The amount was charged. `reference` is the gateway's name for the charge."""

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
