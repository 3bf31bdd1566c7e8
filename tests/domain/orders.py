"""Orders in every state, brought there the way the fulfilment brings them there."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from uuid_utils.compat import uuid7

from docs.generate_fulfilment import of_its_version
from order_service.domain.fulfilment import (
    MAX_COMPENSATIONS,
    Cancel,
    Complete,
    DeadlinePassed,
    Happening,
    Moment,
    PaymentCaptured,
    Reaction,
    StockRejected,
    StockReleased,
    StockReserved,
    react,
)
from order_service.domain.order import CustomerId, Order, OrderId
from order_service.domain.order_line import OrderLine
from order_service.domain.order_status import OrderStatus
from shared_kernel.money import Money
from shared_kernel.product import ProductId, Quantity

AT = datetime(2026, 11, 23, 18, 43, 16, 123, tzinfo=UTC)
LATER = AT + timedelta(seconds=1)
STEP_TIMEOUT = timedelta(seconds=30)
PRICES = {ProductId("p1"): Money.of("12.50", "EUR"), ProductId("p2"): Money.of("0.99", "EUR")}

RESERVED = StockReserved(PRICES)

# What leads a placed order into a status, the shortest way.
WAYS: Mapping[OrderStatus, tuple[Happening, ...]] = {
    OrderStatus.PENDING: (),
    OrderStatus.CONFIRMED: (RESERVED, PaymentCaptured()),
    OrderStatus.REJECTED: (StockRejected("sold out"),),
    OrderStatus.CANCELLING: (Cancel(),),
    OrderStatus.CANCELLED: (Cancel(), StockReleased()),
    OrderStatus.COMPLETED: (RESERVED, PaymentCaptured(), Complete()),
    OrderStatus.STUCK: (Cancel(), *(DeadlinePassed(version=1),) * (MAX_COMPENSATIONS + 1)),
}


def line(product: str = "p1", quantity: int = 2) -> OrderLine:
    """One line, not priced yet."""
    return OrderLine(ProductId(product), Quantity(quantity))


def placed_order(*lines: OrderLine, customer_id: str | None = None, at: datetime = AT) -> Order:
    """A new order with its OrderCreatedEvent; its stock is to be there in 30 seconds."""
    return Order.place(
        order_id=OrderId(uuid7()),
        customer_id=CustomerId(customer_id) if customer_id is not None else None,
        lines=lines or (line(),),
        now=at,
        event_id=uuid7(),
        patience=STEP_TIMEOUT,
    )


def stored(order: Order) -> Order:
    """The order as a store gives it back: the same state, nothing left to commit."""
    return replace(order, events=(), patience=None)


def moment(now: datetime = LATER) -> Moment:
    """A moment with fresh ids, in which a step may take 30 seconds."""
    return Moment(now, uuid7(), uuid7(), uuid7(), STEP_TIMEOUT)


def reaction(order: Order, happening: Happening, at: datetime = LATER) -> Reaction:
    """What the order, as it is stored, makes of something that matters to it."""
    reacted = react(stored(order), of_its_version(happening, order), moment(at))
    assert reacted is not None, f"{happening} changes nothing for an order that is {order.status}"
    return reacted


def led(order: Order, *happenings: Happening, at: datetime = LATER) -> Order:
    """The order after all of this happened to it, with the events of all of it."""
    for happening in happenings:
        events = order.events
        order = reaction(order, happening, at).order
        order = replace(order, events=(*events, *order.events))
    return order


def stepped(order: Order, target: OrderStatus, at: datetime = LATER) -> Order:
    """The placed order, led the shortest way into `target`."""
    return led(order, *WAYS[target], at=at)


def order_in(status: OrderStatus) -> Order:
    """A stored order that went the shortest way into `status`."""
    return stored(stepped(placed_order(line("p1", 2), line("p2", 3), customer_id="c1"), status))
