"""The statuses of an order, of its stock and of its payment, and the transitions between the statuses of an order."""

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID


class OrderStatus(StrEnum):
    """REJECTED, CANCELLED and COMPLETED are final. A STUCK order got no answer to any attempt at its compensation. It
    waits for an operator or for a late answer."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    CANCELLING = "CANCELLING"
    STUCK = "STUCK"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"


class StockStatus(StrEnum):
    """The state of the stock, as far as the order service has asked and heard."""

    REQUESTED = "REQUESTED"
    RESERVED = "RESERVED"
    REJECTED = "REJECTED"
    RELEASING = "RELEASING"
    RELEASED = "RELEASED"
    SHIPPED = "SHIPPED"


class PaymentStatus(StrEnum):
    """The state of the payment, as far as the order service has asked and heard. None means that nothing was asked."""

    REQUESTED = "REQUESTED"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"


# A status leads to itself when further answers follow the one that came.
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
"""The statuses in which an order waits for an answer. Only these have a deadline in the store."""

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
"""The stock and payment statuses that an order can have in each of its own statuses."""


class IllegalTransition(Exception):
    """The order cannot get from its status to `target`."""

    def __init__(self, order_id: UUID, status: OrderStatus, target: OrderStatus) -> None:
        super().__init__(f"order {order_id} is {status} and cannot become {target}")
        self.order_id = order_id
        self.status = status
        self.target = target
