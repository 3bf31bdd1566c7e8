"""One of every event, with fixed ids and times, brought about by the domain as in life. The golden files are theirs."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from order_service.domain.events import OrderEvent
from order_service.domain.money import Money
from order_service.domain.order import CustomerId, Order, OrderId
from order_service.domain.order_line import OrderLine, ProductId, Quantity

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
    )


def _examples() -> dict[str, OrderEvent]:
    placed = _placed("c1")
    prices = {ProductId("p1"): Money.of("12.50", "EUR"), ProductId("Käse"): Money.of("4.90", "EUR")}
    confirmed = placed.confirm(prices=prices, now=_at(1), event_id=_event_id(2))
    rejected = placed.reject(reason="p1 is out of stock", now=_at(1), event_id=_event_id(3))
    cancelled = placed.cancel(reason="cancelled by the customer", now=_at(1), event_id=_event_id(4))
    completed = confirmed.complete(now=_at(2), event_id=_event_id(5))
    return {
        "OrderCreatedEvent.v1": placed.events[-1],
        "OrderCreatedEvent.v1.no-customer": _placed(None).events[-1],
        "OrderConfirmedEvent.v1": confirmed.events[-1],
        "OrderRejectedEvent.v1": rejected.events[-1],
        "OrderCancelledEvent.v1": cancelled.events[-1],
        "OrderCompletedEvent.v1": completed.events[-1],
    }


EXAMPLES = _examples()
"""By the name of their golden file: type, version, and what is special about it."""
