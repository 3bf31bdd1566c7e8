"""The commands that the order service sends to its partners. Each is answered by an event, except ShipStock."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from order_service.domain.order_line import OrderLine
from shared_kernel.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveStock:
    """To the inventory: hold all items for this order, or none. Answered by StockReserved or StockRejected."""

    event_id: UUID
    order_id: UUID
    occurred_at: datetime
    lines: tuple[OrderLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStock:
    """To the inventory: hold nothing for this order, now and later. Answered by StockReleased."""

    event_id: UUID
    order_id: UUID
    occurred_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipStock:
    """To the inventory: the stock that is held for this order has left."""

    event_id: UUID
    order_id: UUID
    occurred_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargePayment:
    """To the payment service: capture this amount. Answered by PaymentCaptured or PaymentDeclined. `caller` is whose
    order it is."""

    event_id: UUID
    order_id: UUID
    occurred_at: datetime
    caller: str
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPayment:
    """To the payment service: keep no money for this order, now and later. Answered by PaymentRefunded."""

    event_id: UUID
    order_id: UUID
    occurred_at: datetime


StockCommand: TypeAlias = ReserveStock | ReleaseStock | ShipStock
PaymentCommand: TypeAlias = ChargePayment | RefundPayment
Command: TypeAlias = StockCommand | PaymentCommand
