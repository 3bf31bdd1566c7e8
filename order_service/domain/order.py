"""The Order aggregate: a guarded state machine whose every change is an event.

An Order is a value. A transition answers a new Order with the event recorded in `events`; nothing here reads a clock,
makes an id or does I/O. `Order.place` creates; the plain constructor rehydrates what was stored, and records nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from order_service.domain.events import (
    OrderCancelledEvent,
    OrderCompletedEvent,
    OrderConfirmedEvent,
    OrderCreatedEvent,
    OrderEvent,
    OrderRejectedEvent,
)
from order_service.domain.money import Money
from order_service.domain.order_line import OrderLine, ProductId, is_printable_text

MAX_LINES = 100


class OrderStatus(StrEnum):
    """Where an order stands. REJECTED, CANCELLED and COMPLETED are final."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    CANCELLING = "CANCELLING"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"


TRANSITIONS: Mapping[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PENDING: frozenset(
        {OrderStatus.CONFIRMED, OrderStatus.REJECTED, OrderStatus.CANCELLED, OrderStatus.CANCELLING}
    ),
    OrderStatus.CONFIRMED: frozenset({OrderStatus.COMPLETED, OrderStatus.CANCELLING}),
    OrderStatus.CANCELLING: frozenset({OrderStatus.CANCELLED}),
    OrderStatus.REJECTED: frozenset(),
    OrderStatus.CANCELLED: frozenset(),
    OrderStatus.COMPLETED: frozenset(),
}


class InvalidOrder(ValueError):
    """An order that must not exist; the text says which rule it breaks."""


class IllegalTransition(Exception):
    """The order is in a state from which it cannot get to `target`."""

    def __init__(self, order_id: UUID, status: OrderStatus, target: OrderStatus) -> None:
        super().__init__(f"order {order_id} is {status} and cannot become {target}")
        self.order_id = order_id
        self.status = status
        self.target = target


@dataclass(frozen=True, slots=True)
class OrderId:
    """A UUIDv7, so that ids sort by the time of their making. Raises InvalidOrder for another kind of UUID."""

    value: UUID

    def __post_init__(self) -> None:
        if self.value.version != 7:
            raise InvalidOrder(f"an order id is a UUID of version 7, not {self.value}")

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class CustomerId:
    """Who ordered, by the name the client gave: 1 to 64 printable characters. Raises InvalidOrder."""

    value: str

    def __post_init__(self) -> None:
        if not is_printable_text(self.value):
            raise InvalidOrder(f"a customer id is 1 to 64 printable characters, not {self.value!r}")


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One step of an order's life as a person reads it."""

    at: datetime
    status: OrderStatus
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order. `version` starts at 1 and grows by one with every transition; `events` are those not yet committed.

    Raises InvalidOrder when a rule that holds for every stored order is broken.
    """

    id: OrderId
    customer_id: CustomerId | None
    lines: tuple[OrderLine, ...]
    status: OrderStatus
    version: int
    created_at: datetime
    updated_at: datetime
    timeline: tuple[TimelineEntry, ...]
    total: Money | None = None
    reason: str | None = None
    events: tuple[OrderEvent, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.lines) <= MAX_LINES:
            raise InvalidOrder(f"an order has 1 to {MAX_LINES} lines, not {len(self.lines)}")
        if self.status in (OrderStatus.CONFIRMED, OrderStatus.COMPLETED) and self.total is None:
            raise InvalidOrder(f"an order that is {self.status} has a total")
        if self.status in (OrderStatus.REJECTED, OrderStatus.CANCELLED) and self.reason is None:
            raise InvalidOrder(f"an order that is {self.status} has a reason")

    @classmethod
    def place(
        cls,
        *,
        order_id: OrderId,
        customer_id: CustomerId | None,
        lines: tuple[OrderLine, ...],
        now: datetime,
        event_id: UUID,
    ) -> Self:
        """A new order, PENDING at version 1, with its OrderCreatedEvent."""
        return cls(
            id=order_id,
            customer_id=customer_id,
            lines=lines,
            status=OrderStatus.PENDING,
            version=1,
            created_at=now,
            updated_at=now,
            timeline=(TimelineEntry(now, OrderStatus.PENDING),),
            events=(
                OrderCreatedEvent(
                    event_id=event_id,
                    order_id=order_id.value,
                    order_version=1,
                    occurred_at=now,
                    customer_id=customer_id.value if customer_id else None,
                    lines=lines,
                ),
            ),
        )

    def confirm(self, *, prices: Mapping[ProductId, Money], now: datetime, event_id: UUID) -> Self:
        """PENDING → CONFIRMED at the catalogue's unit prices. Raises KeyError for a product without one."""
        priced = tuple(replace(line, unit_price=prices[line.product_id]) for line in self.lines)
        first, *others = (prices[line.product_id] * line.quantity.value for line in self.lines)
        total = sum(others, start=first)
        event = OrderConfirmedEvent(
            event_id=event_id,
            order_id=self.id.value,
            order_version=self.version + 1,
            occurred_at=now,
            lines=priced,
            total=total,
        )
        return replace(self._become(OrderStatus.CONFIRMED, event, priced_total=total), lines=priced)

    def reject(self, *, reason: str, now: datetime, event_id: UUID) -> Self:
        """PENDING → REJECTED, for a reason that a person understands."""
        event = OrderRejectedEvent(
            event_id=event_id, order_id=self.id.value, order_version=self.version + 1, occurred_at=now, reason=reason
        )
        return self._become(OrderStatus.REJECTED, event, reason=reason)

    def cancel(self, *, reason: str, now: datetime, event_id: UUID) -> Self:
        """PENDING or CANCELLING → CANCELLED."""
        event = OrderCancelledEvent(
            event_id=event_id, order_id=self.id.value, order_version=self.version + 1, occurred_at=now, reason=reason
        )
        return self._become(OrderStatus.CANCELLED, event, reason=reason)

    def complete(self, *, now: datetime, event_id: UUID) -> Self:
        """CONFIRMED → COMPLETED."""
        event = OrderCompletedEvent(
            event_id=event_id, order_id=self.id.value, order_version=self.version + 1, occurred_at=now
        )
        return self._become(OrderStatus.COMPLETED, event)

    def _become(
        self, target: OrderStatus, event: OrderEvent, *, reason: str | None = None, priced_total: Money | None = None
    ) -> Self:
        if target not in TRANSITIONS[self.status]:
            raise IllegalTransition(self.id.value, self.status, target)
        return replace(
            self,
            status=target,
            version=event.order_version,
            updated_at=event.occurred_at,
            timeline=(*self.timeline, TimelineEntry(event.occurred_at, target, reason)),
            total=priced_total or self.total,
            reason=reason or self.reason,
            events=(*self.events, event),
        )
