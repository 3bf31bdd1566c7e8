"""One of every event and command of the order service, with fixed ids and times. The golden files are theirs."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypedDict
from uuid import UUID

from order_service.domain.commands import (
    ChargePayment,
    Command,
    RefundPayment,
    ReleaseStock,
    ReserveStock,
    ShipStock,
)
from order_service.domain.events import OrderEvent
from order_service.domain.order import CustomerId, Order, OrderId
from order_service.domain.order_line import OrderLine
from order_service.domain.order_status import StockStatus
from shared_kernel.money import Money
from shared_kernel.product import ProductId, Quantity

_ORDER = OrderId(UUID("019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e"))
_PLACED_AT = datetime(2026, 11, 23, 18, 43, 16, 123, tzinfo=UTC)


def _event_id(number: int) -> UUID:
    return UUID(f"019ab1f0-6c1e-7000-8000-{number:012x}")


def _at(seconds: int) -> datetime:
    return _PLACED_AT + timedelta(seconds=seconds)


def _placed(customer: str | None) -> Order:
    return Order.place(
        order_id=_ORDER,
        customer_id=CustomerId(customer) if customer else None,
        lines=(OrderLine(ProductId("p1"), Quantity(2)), OrderLine(ProductId("Käse"), Quantity(1))),
        now=_PLACED_AT,
        event_id=_event_id(1),
        patience=_at(30) - _at(0),
    )


def _at_version_1(order: Order) -> Order:
    """Golden files are not edited: they are of a time when one step led from placed to confirmed or cancelled."""
    return replace(order, version=1)


def _examples() -> dict[str, OrderEvent]:
    placed = _placed("c1")
    prices = {ProductId("p1"): Money.of("12.50", "EUR"), ProductId("Käse"): Money.of("4.90", "EUR")}
    reserved = _at_version_1(placed.reserved(prices, now=_at(1), patience=_at(31) - _at(1)))
    confirmed = reserved.confirm(now=_at(1), event_id=_event_id(2))
    rejected = placed.reject("p1 is out of stock", now=_at(1), event_id=_event_id(3))
    cancelling = _at_version_1(placed.take_back("cancelled by the customer", now=_at(1), patience=_at(31) - _at(1)))
    cancelled = cancelling.undone(
        stock=StockStatus.RELEASED, payment=None, now=_at(1), event_id=_event_id(4), detail="stock released"
    )
    completed = confirmed.complete(now=_at(2), event_id=_event_id(5))
    return {
        "OrderCreatedEvent.v1": placed.events[-1],
        "OrderCreatedEvent.v1.no-customer": _placed(None).events[-1],
        "OrderConfirmedEvent.v1": confirmed.events[-1],
        "OrderRejectedEvent.v1": rejected.events[-1],
        "OrderCancelledEvent.v1": cancelled.events[-1],
        "OrderCompletedEvent.v1": completed.events[-1],
    }


def _commands() -> dict[str, Command]:
    placed = _placed("c1")
    sent: _Sent = {"order_id": _ORDER.value, "occurred_at": _PLACED_AT}
    return {
        "ReserveStock.v1": ReserveStock(event_id=_event_id(11), lines=placed.lines, **sent),
        "ReleaseStock.v1": ReleaseStock(event_id=_event_id(12), **sent),
        "ShipStock.v1": ShipStock(event_id=_event_id(13), **sent),
        "ChargePayment.v1": ChargePayment(
            event_id=_event_id(14), caller="shop-7", amount=Money.of("29.90", "EUR"), **sent
        ),
        "RefundPayment.v1": RefundPayment(event_id=_event_id(15), **sent),
    }


class _Sent(TypedDict):
    order_id: UUID
    occurred_at: datetime


EVENTS = _examples()
"""By the name of their golden file: type, version, and what is special about it."""

COMMANDS = _commands()
"""Likewise."""

EXAMPLES: Mapping[str, OrderEvent | Command] = {**EVENTS, **COMMANDS}
"""Everything that the order service sends."""
