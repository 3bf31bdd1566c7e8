"""The events of an order. `order_version` is the version of the order after the event."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from order_service.domain.order_line import OrderLine
from shared_kernel.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCreatedEvent:
    """The order was accepted and waits for its fulfilment."""

    event_id: UUID
    order_id: UUID
    order_version: int
    occurred_at: datetime
    customer_id: str | None
    lines: tuple[OrderLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderConfirmedEvent:
    """Stock is reserved and the total is paid."""

    event_id: UUID
    order_id: UUID
    order_version: int
    occurred_at: datetime
    lines: tuple[OrderLine, ...]
    total: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRejectedEvent:
    """The order cannot be fulfilled. Nothing is held and nothing is charged."""

    event_id: UUID
    order_id: UUID
    order_version: int
    occurred_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelledEvent:
    """The customer, or a deadline, took the order back."""

    event_id: UUID
    order_id: UUID
    order_version: int
    occurred_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCompletedEvent:
    """The goods have left."""

    event_id: UUID
    order_id: UUID
    order_version: int
    occurred_at: datetime


OrderEvent: TypeAlias = (
    OrderCreatedEvent | OrderConfirmedEvent | OrderRejectedEvent | OrderCancelledEvent | OrderCompletedEvent
)
