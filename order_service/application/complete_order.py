"""Say that the goods have left. Orders are not confirmed before the fulfilment saga exists, so for now this is too
early."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from messaging.changes import Changes
from messaging.commit import decide_then_commit
from order_service.application.find_orders import FindOrders
from order_service.application.ports import Clock, NewId, OrderChanges, OrderStore
from order_service.domain.order import Order, OrderId, OrderStatus


def decide(order: Order, *, event_id: UUID, now: datetime) -> OrderChanges | None:
    """None when the order is completed already. Raises IllegalTransition when it is not confirmed."""
    if order.status is OrderStatus.COMPLETED:
        return None
    completed = order.complete(now=now, event_id=event_id)
    return Changes(completed, order.version, completed.events)


@dataclass(frozen=True, slots=True)
class CompleteOrder:
    """The use case with its ports."""

    orders: OrderStore
    clock: Clock
    new_id: NewId

    async def __call__(self, order_id: OrderId) -> Order:
        """Answer the order, completed. Raises OrderNotFound, IllegalTransition, Contention."""
        return await decide_then_commit(
            load=lambda: FindOrders(self.orders).one(order_id),
            decide=lambda order: decide(order, event_id=self.new_id(), now=self.clock()),
            commit=self.orders.commit,
        )
