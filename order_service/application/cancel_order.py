"""Take an order back. Until the fulfilment saga exists nothing is held for an order, so PENDING becomes CANCELLED at
once."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from messaging.changes import Changes
from messaging.commit import decide_then_commit
from order_service.application.find_orders import FindOrders
from order_service.application.ports import Clock, NewId, OrderChanges, OrderStore
from order_service.domain.order import Order, OrderId, OrderStatus

BY_CUSTOMER = "cancelled by the customer"


def decide(order: Order, *, event_id: UUID, now: datetime) -> OrderChanges | None:
    """None when the order is cancelled already. Raises IllegalTransition when it is too late."""
    if order.status is OrderStatus.CANCELLED:
        return None
    cancelled = order.cancel(reason=BY_CUSTOMER, now=now, event_id=event_id)
    return Changes(cancelled, order.version, cancelled.events)


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """The use case with its ports."""

    orders: OrderStore
    clock: Clock
    new_id: NewId

    async def __call__(self, order_id: OrderId) -> Order:
        """Answer the order, cancelled. Raises OrderNotFound, IllegalTransition, Contention."""
        return await decide_then_commit(
            load=lambda: FindOrders(self.orders).one(order_id),
            decide=lambda order: decide(order, event_id=self.new_id(), now=self.clock()),
            commit=self.orders.commit,
        )
