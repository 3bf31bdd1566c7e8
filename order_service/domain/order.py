"""The Order aggregate: a state machine that guards its transitions and records events.

An Order is a value. A transition returns a new Order with the event in `events`. Nothing here reads a clock, makes an
id or does I/O. `Order.place` creates an order. The constructor rehydrates a stored order and records nothing.

Versions give the changes of an order their sequence. Its times are for people. They come from the clocks of several
machines, which differ and step back, so a time before the order's last one is replaced by that one. No rule depends on
times.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self, TypedDict
from uuid import UUID

from order_service.domain.events import (
    OrderCancelledEvent,
    OrderCompletedEvent,
    OrderConfirmedEvent,
    OrderCreatedEvent,
    OrderEvent,
    OrderRejectedEvent,
)
from order_service.domain.order_line import OrderLine
from order_service.domain.order_status import (
    ON_THE_WAY,
    PARTNER_STATES,
    TRANSITIONS,
    IllegalTransition,
    OrderStatus,
    PaymentStatus,
    StockStatus,
)
from shared_kernel.caller import ANONYMOUS_NAME
from shared_kernel.money import Money
from shared_kernel.product import ProductId, is_printable_text
from shared_kernel.reason import reason_of

MAX_LINES = 100
MAX_TOTAL_MINOR = 2**63 - 1


class InvalidOrder(ValueError):
    """The order would break a rule. The text says which rule."""


@dataclass(frozen=True, slots=True)
class OrderId:
    """A UUIDv7, so that ids sort by the time of their creation. Raises InvalidOrder for another kind of UUID."""

    value: UUID

    def __post_init__(self) -> None:
        if self.value.version != 7:
            raise InvalidOrder(f"an order id is a UUID of version 7, not {self.value}")

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class CustomerId:
    """The client's name for the customer: 1 to 64 printable characters."""

    value: str

    @classmethod
    def of(cls, text: str) -> Self:
        """The customer id in a request. Raises InvalidOrder."""
        if not is_printable_text(text):
            raise InvalidOrder(f"a customer id is 1 to 64 printable characters, not {text!r}")
        return cls(text)


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One step in the life of an order, for a person to read."""

    at: datetime
    status: OrderStatus
    detail: str | None = None


class _Stamp(TypedDict):
    event_id: UUID
    order_id: UUID
    order_version: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order. `version` starts at 1 and grows by one with each transition. `events` are those of its last transition.

    `patience` is how long the answer to the current request may take, from the commit on. The store makes a deadline of
    it by its own clock. None means that nothing new was asked for, and the order keeps its deadline. `attempts` counts
    the repetitions of its compensation. `caller` is who placed it, and whose it is. Raises InvalidOrder when a rule for
    every stored order is broken.
    """

    id: OrderId
    customer_id: CustomerId | None
    lines: tuple[OrderLine, ...]
    status: OrderStatus
    stock: StockStatus
    payment: PaymentStatus | None
    version: int
    created_at: datetime
    updated_at: datetime
    timeline: tuple[TimelineEntry, ...]
    caller: str = ANONYMOUS_NAME
    patience: timedelta | None = None
    attempts: int = 0
    total: Money | None = None
    reason: str | None = None
    events: tuple[OrderEvent, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.lines) <= MAX_LINES:
            raise InvalidOrder(f"an order has 1 to {MAX_LINES} lines, not {len(self.lines)}")
        if (self.stock, self.payment) not in PARTNER_STATES[self.status]:
            raise InvalidOrder(f"an order is not {self.status} with stock {self.stock} and payment {self.payment}")
        if self.patience is not None and self.status not in ON_THE_WAY:
            raise InvalidOrder(f"an order that is {self.status} waits for nothing")
        if self.payment is not None and self.total is None:
            raise InvalidOrder(f"an order whose payment is {self.payment} has a total")
        if self.total is not None and self.total.minor > MAX_TOTAL_MINOR:
            raise InvalidOrder(f"an order's total fits into 63 bits of {self.total.currency}'s smallest unit")
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
        patience: timedelta,
        caller: str = ANONYMOUS_NAME,
    ) -> Self:
        """A new order, PENDING at version 1, with its OrderCreatedEvent. The stock's answer may take `patience`."""
        return cls(
            id=order_id,
            customer_id=customer_id,
            lines=lines,
            status=OrderStatus.PENDING,
            stock=StockStatus.REQUESTED,
            payment=None,
            version=1,
            created_at=now,
            updated_at=now,
            timeline=(TimelineEntry(now, OrderStatus.PENDING),),
            caller=caller,
            patience=patience,
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

    def reserved(self, prices: Mapping[ProductId, Money], *, now: datetime, patience: timedelta) -> Self:
        """The stock is reserved at the catalogue's unit prices, and the payment is asked for. Raises InvalidOrder for a
        product without a price, and CurrencyMismatch."""
        missing = [str(line.product_id) for line in self.lines if line.product_id not in prices]
        if missing:
            raise InvalidOrder(f"order {self.id} was reserved without a price for {', '.join(missing)}")
        first, *others = (prices[line.product_id] * line.quantity.value for line in self.lines)
        return self._move(
            OrderStatus.PENDING,
            now,
            "stock reserved",
            lines=tuple(replace(line, unit_price=prices[line.product_id]) for line in self.lines),
            total=sum(others, start=first),
            stock=StockStatus.RESERVED,
            payment=PaymentStatus.REQUESTED,
            patience=patience,
        )

    def confirm(self, *, now: datetime, event_id: UUID) -> Self:
        """The payment was captured: PENDING → CONFIRMED."""
        if self.total is None:
            raise InvalidOrder(f"order {self.id} has no total to confirm")
        event = OrderConfirmedEvent(**self._stamp(now, event_id), lines=self.lines, total=self.total)
        return self._move(OrderStatus.CONFIRMED, now, "payment captured", event, payment=PaymentStatus.CAPTURED)

    def decline(self, reason: str, *, now: datetime, patience: timedelta) -> Self:
        """The payment was declined: PENDING until the stock is released, then REJECTED."""
        reason = reason_of(reason)
        return self._move(
            OrderStatus.PENDING,
            now,
            f"payment declined: {reason}",
            stock=StockStatus.RELEASING,
            payment=PaymentStatus.DECLINED,
            patience=patience,
            reason=reason,
        )

    def reject(self, reason: str, *, now: datetime, event_id: UUID) -> Self:
        """PENDING or STUCK → REJECTED. The reason is that of the inventory, or of a declined payment whose stock is now
        released."""
        reason = reason_of(reason)
        event = OrderRejectedEvent(**self._stamp(now, event_id), reason=reason)
        stock = StockStatus.REJECTED if self.payment is None else StockStatus.RELEASED
        return self._move(OrderStatus.REJECTED, now, reason, event, stock=stock, reason=reason)

    def take_back(self, reason: str, *, now: datetime, patience: timedelta) -> Self:
        """PENDING or CONFIRMED → CANCELLING: every step that may have been done will be undone."""
        return self._move(
            OrderStatus.CANCELLING,
            now,
            reason,
            stock=StockStatus.RELEASING,
            payment=PaymentStatus.REFUNDING if self.payment is not None else None,
            patience=patience,
            reason=reason,
        )

    def undone(
        self, *, stock: StockStatus, payment: PaymentStatus | None, now: datetime, event_id: UUID, detail: str
    ) -> Self:
        """A compensation was answered. After the last one the order is CANCELLED."""
        if stock is StockStatus.RELEASED and payment in (None, PaymentStatus.REFUNDED):
            reason = self.reason or detail
            event = OrderCancelledEvent(**self._stamp(now, event_id), reason=reason)
            return self._move(OrderStatus.CANCELLED, now, reason, event, stock=stock, payment=payment, reason=reason)
        return self._move(self.status, now, detail, stock=stock, payment=payment)

    def try_again(self, *, now: datetime, patience: timedelta, attempts: int) -> Self:
        """The overdue compensation is asked for again. A STUCK order becomes PENDING or CANCELLING again."""
        status = OrderStatus.PENDING if self.payment is PaymentStatus.DECLINED else OrderStatus.CANCELLING
        detail = f"compensation asked for again, attempt {attempts}" if attempts else "compensation begun again"
        return self._move(status, now, detail, patience=patience, attempts=attempts)

    def give_up(self, *, now: datetime) -> Self:
        """PENDING or CANCELLING → STUCK: the compensation was asked for often enough without an answer."""
        open_ends = [
            *(["the stock may still be reserved"] if self.stock is StockStatus.RELEASING else []),
            *(["the payment may still be captured"] if self.payment is PaymentStatus.REFUNDING else []),
        ]
        return self._move(OrderStatus.STUCK, now, " and ".join(open_ends))

    def complete(self, *, now: datetime, event_id: UUID) -> Self:
        """The goods have left: CONFIRMED → COMPLETED."""
        event = OrderCompletedEvent(**self._stamp(now, event_id))
        return self._move(OrderStatus.COMPLETED, now, None, event, stock=StockStatus.SHIPPED)

    def _stamp(self, now: datetime, event_id: UUID) -> _Stamp:
        return {
            "event_id": event_id,
            "order_id": self.id.value,
            "order_version": self.version + 1,
            "occurred_at": self._not_before(now),
        }

    def _not_before(self, now: datetime) -> datetime:
        """The time of the next step: `now`, or the order's last time if that is later."""
        return max(now, self.updated_at)

    def _move(
        self,
        target: OrderStatus,
        now: datetime,
        detail: str | None,
        event: OrderEvent | None = None,
        patience: timedelta | None = None,
        **changes: Any,
    ) -> Self:
        """The next version of the order, in the status `target`. Every transition is checked here."""
        if target not in TRANSITIONS[self.status]:
            raise IllegalTransition(self.id.value, self.status, target)
        at = self._not_before(now)
        return replace(
            self,
            status=target,
            version=self.version + 1,
            updated_at=at,
            timeline=(*self.timeline, TimelineEntry(at, target, detail)),
            patience=(patience or self.patience) if target in ON_THE_WAY else None,
            events=(event,) if event else (),
            **changes,
        )
