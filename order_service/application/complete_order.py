"""Complete a confirmed order: its goods have left, and the inventory ships the reserved stock."""

from dataclasses import dataclass

from messaging.ports.audit import done
from order_service.application.fulfil_order import FulfilOrder
from order_service.domain.fulfilment import Complete
from order_service.domain.order import Order, OrderId
from shared_kernel.caller import Caller


@dataclass(frozen=True, slots=True)
class CompleteOrder:
    """The use case."""

    fulfil: FulfilOrder

    async def __call__(self, order_id: OrderId, by: Caller) -> Order:
        """Return the completed order. Raises OrderNotFound, IllegalTransition."""
        return await self.fulfil(order_id, Complete(), audit=done("order.complete", order_id=order_id.value), by=by)
