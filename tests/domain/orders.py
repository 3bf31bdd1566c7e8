"""Orders in every state, brought there the way the domain brings them there."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from order_service.domain.money import Money
from order_service.domain.order import CustomerId, Order, OrderId, OrderStatus, TimelineEntry
from order_service.domain.order_line import OrderLine, ProductId, Quantity

AT = datetime(2026, 11, 23, 18, 43, 16, 123, tzinfo=UTC)
LATER = AT + timedelta(seconds=1)
PRICES = {ProductId("p1"): Money.of("12.50", "EUR"), ProductId("p2"): Money.of("0.99", "EUR")}

Step = Callable[[Order, datetime, UUID], Order]

# How an order gets into a status. Nothing leads to CANCELLING before the fulfilment saga exists.
STEPS: Mapping[OrderStatus, Step] = {
    OrderStatus.CONFIRMED: lambda order, at, event_id: order.confirm(prices=PRICES, now=at, event_id=event_id),
    OrderStatus.REJECTED: lambda order, at, event_id: order.reject(reason="sold out", now=at, event_id=event_id),
    OrderStatus.CANCELLED: lambda order, at, event_id: order.cancel(reason="not wanted", now=at, event_id=event_id),
    OrderStatus.COMPLETED: lambda order, at, event_id: order.complete(now=at, event_id=event_id),
}


def line(product: str = "p1", quantity: int = 2) -> OrderLine:
    """One line, not priced yet."""
    return OrderLine(ProductId(product), Quantity(quantity))


def placed_order(*lines: OrderLine, customer_id: str | None = None, at: datetime = AT) -> Order:
    """A new order with its OrderCreatedEvent."""
    return Order.place(
        order_id=OrderId(uuid7()),
        customer_id=CustomerId(customer_id) if customer_id is not None else None,
        lines=lines or (line(),),
        now=at,
        event_id=uuid7(),
    )


def stored(order: Order) -> Order:
    """The order as a store gives it back: the same state, nothing left to commit."""
    return replace(order, events=())


def stepped(order: Order, target: OrderStatus, at: datetime = LATER) -> Order:
    """The order after the transition into `target`."""
    return STEPS[target](order, at, uuid7())


def order_in(status: OrderStatus) -> Order:
    """A stored order that went the shortest way into `status`."""
    order = stored(placed_order(line("p1", 2), line("p2", 3), customer_id="c1"))
    if status is OrderStatus.COMPLETED:
        order = stepped(order, OrderStatus.CONFIRMED)
    if status is OrderStatus.CANCELLING:
        return replace(
            order, status=status, version=2, updated_at=LATER, timeline=(*order.timeline, TimelineEntry(LATER, status))
        )
    return stored(stepped(order, status) if status is not OrderStatus.PENDING else order)
