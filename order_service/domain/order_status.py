"""Where an order, its stock and its payment stand, and which way an order may go from where it stands."""

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID


class OrderStatus(StrEnum):
    """REJECTED, CANCELLED and COMPLETED are final. STUCK is an order whose compensation failed every time it was tried:
    it waits for an operator, or for the answer that comes after all."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    CANCELLING = "CANCELLING"
    STUCK = "STUCK"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"


class StockStatus(StrEnum):
    """What the order service has asked of the inventory, and heard of it."""

    REQUESTED = "REQUESTED"
    RESERVED = "RESERVED"
    REJECTED = "REJECTED"
    RELEASING = "RELEASING"
    RELEASED = "RELEASED"
    SHIPPED = "SHIPPED"


class PaymentStatus(StrEnum):
    """What the order service has asked of the payment service, and heard of it. No status: nothing was asked."""

    REQUESTED = "REQUESTED"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"


# A status that leads to itself is one in which an answer can come that is not the last.
TRANSITIONS: Mapping[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PENDING: frozenset(
        {
            OrderStatus.PENDING,
            OrderStatus.CONFIRMED,
            OrderStatus.REJECTED,
            OrderStatus.CANCELLING,
            OrderStatus.STUCK,
        }
    ),
    OrderStatus.CONFIRMED: frozenset({OrderStatus.COMPLETED, OrderStatus.CANCELLING}),
    OrderStatus.CANCELLING: frozenset({OrderStatus.CANCELLING, OrderStatus.CANCELLED, OrderStatus.STUCK}),
    OrderStatus.STUCK: frozenset(
        {
            OrderStatus.STUCK,
            OrderStatus.PENDING,
            OrderStatus.CANCELLING,
            OrderStatus.REJECTED,
            OrderStatus.CANCELLED,
        }
    ),
    OrderStatus.REJECTED: frozenset(),
    OrderStatus.CANCELLED: frozenset(),
    OrderStatus.COMPLETED: frozenset(),
}

ON_THE_WAY = frozenset({OrderStatus.PENDING, OrderStatus.CANCELLING})
"""The statuses in which something is waited for; they and no others have a deadline in the store."""

_STOCK, _PAYMENT = StockStatus, PaymentStatus
PARTNER_STATES: Mapping[OrderStatus, frozenset[tuple[StockStatus, PaymentStatus | None]]] = {
    OrderStatus.PENDING: frozenset(
        {
            (_STOCK.REQUESTED, None),
            (_STOCK.RESERVED, _PAYMENT.REQUESTED),
            (_STOCK.RELEASING, _PAYMENT.DECLINED),
        }
    ),
    OrderStatus.CONFIRMED: frozenset({(_STOCK.RESERVED, _PAYMENT.CAPTURED)}),
    OrderStatus.CANCELLING: frozenset(
        {
            (_STOCK.RELEASING, None),
            (_STOCK.RELEASING, _PAYMENT.REFUNDING),
            (_STOCK.RELEASED, _PAYMENT.REFUNDING),
            (_STOCK.RELEASING, _PAYMENT.REFUNDED),
        }
    ),
    OrderStatus.STUCK: frozenset(
        {
            (_STOCK.RELEASING, None),
            (_STOCK.RELEASING, _PAYMENT.DECLINED),
            (_STOCK.RELEASING, _PAYMENT.REFUNDING),
            (_STOCK.RELEASED, _PAYMENT.REFUNDING),
            (_STOCK.RELEASING, _PAYMENT.REFUNDED),
        }
    ),
    OrderStatus.REJECTED: frozenset({(_STOCK.REJECTED, None), (_STOCK.RELEASED, _PAYMENT.DECLINED)}),
    OrderStatus.CANCELLED: frozenset({(_STOCK.RELEASED, None), (_STOCK.RELEASED, _PAYMENT.REFUNDED)}),
    OrderStatus.COMPLETED: frozenset({(_STOCK.SHIPPED, _PAYMENT.CAPTURED)}),
}
"""Which stock and payment statuses an order can have in each of its own."""


class IllegalTransition(Exception):
    """The order is in a state from which it cannot get to `target`."""

    def __init__(self, order_id: UUID, status: OrderStatus, target: OrderStatus) -> None:
        super().__init__(f"order {order_id} is {status} and cannot become {target}")
        self.order_id = order_id
        self.status = status
        self.target = target
