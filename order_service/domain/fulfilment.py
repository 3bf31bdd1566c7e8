"""The fulfilment saga: how an order gets from PENDING to CONFIRMED, or cleanly back.

`react` is pure. From an order and a happening it makes the order as it is then, and the commands to the partners. The
time and new ids come in the `Moment`. No decision depends on the time: the store decides by its own clock which
deadlines have passed.

A happening that is not in the table below is a late or repeated answer, and changes nothing. Its effect was undone by a
command that is sent already, and a partner handles the commands of one order in their order. docs/fulfilment.md is
generated from this module.

(An orchestrated saga with compensation, after Garcia-Molina and Salem, "Sagas", 1987.)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from order_service.domain.commands import ChargePayment, Command, RefundPayment, ReleaseStock, ReserveStock, ShipStock
from order_service.domain.events import OrderEvent
from order_service.domain.order import Order
from order_service.domain.order_status import ON_THE_WAY, IllegalTransition, OrderStatus, PaymentStatus, StockStatus
from shared_kernel.money import Money
from shared_kernel.product import ProductId

MAX_COMPENSATIONS = 5
CANCELLED_BY_CUSTOMER = "cancelled by the customer"
NO_STOCK_IN_TIME = "its stock was not reserved in time"
NO_PAYMENT_IN_TIME = "its payment was not answered in time"


@dataclass(frozen=True, slots=True)
class StockReserved:
    """The inventory holds everything, at these unit prices."""

    prices: Mapping[ProductId, Money]


@dataclass(frozen=True, slots=True)
class StockRejected:
    """The inventory holds nothing, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class StockReleased:
    """The inventory holds nothing any more."""


@dataclass(frozen=True, slots=True)
class PaymentCaptured:
    """The total is paid."""


@dataclass(frozen=True, slots=True)
class PaymentDeclined:
    """Nothing is paid, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class PaymentRefunded:
    """Nothing is paid any more."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The order did not get in time the answer that it waits for in this version. An order that has changed since then
    has another version and another deadline."""

    version: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """The customer takes the order back."""


@dataclass(frozen=True, slots=True)
class Complete:
    """The goods have left."""


@dataclass(frozen=True, slots=True)
class Retry:
    """An operator wants the compensation of a stuck order tried again."""


Happening: TypeAlias = (
    StockReserved
    | StockRejected
    | StockReleased
    | PaymentCaptured
    | PaymentDeclined
    | PaymentRefunded
    | DeadlinePassed
    | Cancel
    | Complete
    | Retry
)


@dataclass(frozen=True, slots=True)
class Moment:
    """The time of a happening, and the ids for its messages: at most one event and one command to each partner."""

    now: datetime
    event_id: UUID
    stock_command_id: UUID
    payment_command_id: UUID
    step_timeout: timedelta


@dataclass(frozen=True, slots=True)
class Reaction:
    """The changed order with its new events, and the commands that are sent with it."""

    order: Order
    commands: tuple[Command, ...] = ()

    @property
    def outgoing(self) -> tuple[OrderEvent | Command, ...]:
        """All messages to publish, events first."""
        return (*self.order.events, *self.commands)


def begin(order: Order, moment: Moment) -> Reaction:
    """Begin the saga: the commit that creates the order also asks for its stock."""
    command = ReserveStock(
        event_id=moment.stock_command_id, order_id=order.id.value, occurred_at=order.updated_at, lines=order.lines
    )
    return Reaction(order, (command,))


def react(order: Order, happening: Happening, moment: Moment) -> Reaction | None:
    """The reaction to a happening, or None when it changes nothing. Raises IllegalTransition for a Cancel or Complete
    that comes too late or too early."""
    return _TABLE[type(happening)](order, happening, moment)


def awaited(order: Order) -> tuple[type[Happening], ...]:
    """The answers of partners that an order waits for. Any other answer changes nothing."""
    if order.stock is StockStatus.REQUESTED:
        return (StockReserved, StockRejected)
    if order.payment is PaymentStatus.REQUESTED:
        return (PaymentCaptured, PaymentDeclined)
    released: tuple[type[Happening], ...] = (StockReleased,) if order.stock is StockStatus.RELEASING else ()
    refunded: tuple[type[Happening], ...] = (PaymentRefunded,) if order.payment is PaymentStatus.REFUNDING else ()
    return released + refunded


def _stock_reserved(order: Order, happening: StockReserved, moment: Moment) -> Reaction | None:
    if order.status is not OrderStatus.PENDING or order.stock is not StockStatus.REQUESTED:
        return None
    priced = order.reserved(happening.prices, now=moment.now, patience=moment.step_timeout)
    if priced.total is None:
        raise AssertionError("an order that is reserved has a total")
    charge = ChargePayment(
        event_id=moment.payment_command_id,
        order_id=order.id.value,
        occurred_at=priced.updated_at,
        caller=order.caller,
        amount=priced.total,
    )
    return Reaction(priced, (charge,))


def _stock_rejected(order: Order, happening: StockRejected, moment: Moment) -> Reaction | None:
    if order.status is not OrderStatus.PENDING or order.stock is not StockStatus.REQUESTED:
        return None
    return Reaction(order.reject(happening.reason, now=moment.now, event_id=moment.event_id))


def _payment_captured(order: Order, _: PaymentCaptured, moment: Moment) -> Reaction | None:
    if order.status is not OrderStatus.PENDING or order.payment is not PaymentStatus.REQUESTED:
        return None
    return Reaction(order.confirm(now=moment.now, event_id=moment.event_id))


def _payment_declined(order: Order, happening: PaymentDeclined, moment: Moment) -> Reaction | None:
    if order.status is not OrderStatus.PENDING or order.payment is not PaymentStatus.REQUESTED:
        return None
    declined = order.decline(happening.reason, now=moment.now, patience=moment.step_timeout)
    return Reaction(declined, _compensation(declined, moment))


def _stock_released(order: Order, _: StockReleased, moment: Moment) -> Reaction | None:
    if order.stock is not StockStatus.RELEASING:
        return None
    if order.payment is PaymentStatus.DECLINED:
        return Reaction(order.reject(order.reason or "payment declined", now=moment.now, event_id=moment.event_id))
    return Reaction(
        order.undone(
            stock=StockStatus.RELEASED,
            payment=order.payment,
            now=moment.now,
            event_id=moment.event_id,
            detail="stock released",
        )
    )


def _payment_refunded(order: Order, _: PaymentRefunded, moment: Moment) -> Reaction | None:
    if order.payment is not PaymentStatus.REFUNDING:
        return None
    return Reaction(
        order.undone(
            stock=order.stock,
            payment=PaymentStatus.REFUNDED,
            now=moment.now,
            event_id=moment.event_id,
            detail="payment refunded",
        )
    )


def _deadline_passed(order: Order, happening: DeadlinePassed, moment: Moment) -> Reaction | None:
    if order.status not in ON_THE_WAY or order.version != happening.version:
        return None
    if order.stock is StockStatus.REQUESTED:
        return _take_back(order, NO_STOCK_IN_TIME, moment)
    if order.payment is PaymentStatus.REQUESTED:
        return _take_back(order, NO_PAYMENT_IN_TIME, moment)
    if order.attempts == MAX_COMPENSATIONS:
        return Reaction(order.give_up(now=moment.now))
    attempts = order.attempts + 1
    again = order.try_again(now=moment.now, patience=moment.step_timeout * 2**attempts, attempts=attempts)
    return Reaction(again, _compensation(again, moment))


def _cancel(order: Order, _: Cancel, moment: Moment) -> Reaction | None:
    if order.status in (OrderStatus.REJECTED, OrderStatus.COMPLETED):
        raise IllegalTransition(order.id.value, order.status, OrderStatus.CANCELLED)
    if order.stock not in (StockStatus.REQUESTED, StockStatus.RESERVED):
        return None  # it is CANCELLING or CANCELLED already
    return _take_back(order, CANCELLED_BY_CUSTOMER, moment)


def _complete(order: Order, _: Complete, moment: Moment) -> Reaction | None:
    if order.status is OrderStatus.COMPLETED:
        return None
    completed = order.complete(now=moment.now, event_id=moment.event_id)
    ship = ShipStock(event_id=moment.stock_command_id, order_id=order.id.value, occurred_at=completed.updated_at)
    return Reaction(completed, (ship,))


def _retry(order: Order, _: Retry, moment: Moment) -> Reaction | None:
    if order.status is not OrderStatus.STUCK:
        return None
    again = order.try_again(now=moment.now, patience=moment.step_timeout, attempts=0)
    return Reaction(again, _compensation(again, moment))


def _take_back(order: Order, reason: str, moment: Moment) -> Reaction:
    taken_back = order.take_back(reason, now=moment.now, patience=moment.step_timeout)
    return Reaction(taken_back, _compensation(taken_back, moment))


def _compensation(order: Order, moment: Moment) -> tuple[Command, ...]:
    """The commands for every step of the order that is not known to be undone. Each may be sent any number of times."""
    commands: list[Command] = []
    if order.payment is PaymentStatus.REFUNDING:
        commands.append(
            RefundPayment(event_id=moment.payment_command_id, order_id=order.id.value, occurred_at=order.updated_at)
        )
    if order.stock is StockStatus.RELEASING:
        commands.append(
            ReleaseStock(event_id=moment.stock_command_id, order_id=order.id.value, occurred_at=order.updated_at)
        )
    return tuple(commands)


_TABLE: Mapping[type[Happening], Callable[[Order, Any, Moment], Reaction | None]] = {
    StockReserved: _stock_reserved,
    StockRejected: _stock_rejected,
    StockReleased: _stock_released,
    PaymentCaptured: _payment_captured,
    PaymentDeclined: _payment_declined,
    PaymentRefunded: _payment_refunded,
    DeadlinePassed: _deadline_passed,
    Cancel: _cancel,
    Complete: _complete,
    Retry: _retry,
}
