"""The metrics of orders."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

from messaging.engine.gauges import set_gauges
from order_service.application.ports import OrderStore, UnknownOrderStore
from order_service.domain.commands import RefundPayment, ReleaseStock
from order_service.domain.fulfilment import (
    Cancel,
    DeadlinePassed,
    Happening,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    Reaction,
    Retry,
    StockRejected,
    StockReleased,
    StockReserved,
)
from order_service.domain.order import Order
from order_service.domain.order_status import ON_THE_WAY, OrderStatus, PaymentStatus, StockStatus

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 1800)

ACCEPTED = Counter("oms_orders_accepted_total", "Orders stored; a repeated request is not counted again")
SETTLED = Histogram(
    "oms_order_settled_seconds",
    "Time from an order's creation until it is CONFIRMED, REJECTED or CANCELLED for the first time",
    ["outcome"],
    buckets=_SECONDS,
)
STEP = Histogram(
    "oms_order_step_seconds",
    "Time from an order's last change to the answer, or to the deadline, that ends the step",
    ["step"],
    buckets=_SECONDS,
)
COMPENSATIONS = Counter(
    "oms_compensations_total", "Times that steps of an order were taken back, or asked to be again", ["reason"]
)
OPEN = Gauge("oms_orders_open", "Orders that wait for an answer, counted up to 10,000", ["status"])
STUCK = Gauge("oms_orders_stuck", "Orders whose compensation was asked for again and again without an answer")
UNKNOWN = Gauge("oms_orders_unknown", "Orders that partners answered about and that are not in the database")

_FIRST_SETTLED = {
    outcome: SETTLED.labels(outcome) for outcome in (OrderStatus.CONFIRMED, OrderStatus.REJECTED, OrderStatus.CANCELLED)
}
_STEPS: Mapping[type[Happening], Histogram] = {
    happening: STEP.labels(step)
    for happening, step in (
        (StockReserved, "stock_reserved"),
        (StockRejected, "stock_rejected"),
        (StockReleased, "stock_released"),
        (PaymentCaptured, "payment_captured"),
        (PaymentDeclined, "payment_declined"),
        (PaymentRefunded, "payment_refunded"),
        (DeadlinePassed, "deadline_passed"),
    )
}
_REASONS = {
    reason: COMPENSATIONS.labels(reason)
    for reason in (
        "cancelled",
        "payment_declined",
        "stock_timeout",
        "payment_timeout",
        "unanswered",
        "retried",
        "unknown_order",
    )
}


def observe(before: Order, happening: Happening, reaction: Reaction) -> None:
    """Note what has become of an order. The times of an order never step back, so no duration is negative."""
    order = reaction.order
    if step := _STEPS.get(type(happening)):
        step.observe((order.updated_at - before.updated_at).total_seconds())
    settled = _FIRST_SETTLED.get(order.status)
    if settled and before.status is not order.status and not _was_confirmed(before):
        settled.observe((order.updated_at - order.created_at).total_seconds())
    if any(isinstance(command, RefundPayment | ReleaseStock) for command in reaction.commands):
        _REASONS[_reason(before, happening)].inc()


def observe_unknown() -> None:
    """Note that what partners did for an unknown order is taken back."""
    _REASONS["unknown_order"].inc()


def _was_confirmed(order: Order) -> bool:
    """True for an order that was settled before, and is cancelled or completed afterwards."""
    return any(entry.status is OrderStatus.CONFIRMED for entry in order.timeline)


def _reason(before: Order, happening: Happening) -> str:
    match happening:
        case Cancel():
            return "cancelled"
        case PaymentDeclined():
            return "payment_declined"
        case Retry():
            return "retried"
    if before.stock is StockStatus.REQUESTED:
        return "stock_timeout"
    return "payment_timeout" if before.payment is PaymentStatus.REQUESTED else "unanswered"


async def refresh_metrics(orders: OrderStore, unknown: UnknownOrderStore) -> None:
    """Set the gauges."""
    gauges = {**{OPEN.labels(status): status for status in ON_THE_WAY}, STUCK: OrderStatus.STUCK}

    async def counts() -> list[float]:
        return [*[await orders.count(status) for status in gauges.values()], await unknown.count()]

    await set_gauges((*gauges, UNKNOWN), counts)
