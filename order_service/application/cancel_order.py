"""Cancel an order: every step that was done, or may have been done, is undone. Then the order is CANCELLED."""

from dataclasses import dataclass

from messaging.ports.audit import done
from order_service.application.fulfil_order import FulfilOrder
from order_service.domain.fulfilment import Cancel
from order_service.domain.order import Order, OrderId
from shared_kernel.caller import Caller


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """The use case."""

    fulfil: FulfilOrder

    async def __call__(self, order_id: OrderId, by: Caller) -> Order:
        """Return the order, on its way back or already CANCELLED. Raises OrderNotFound, IllegalTransition."""
        return await self.fulfil(order_id, Cancel(), audit=done("order.cancel", order_id=order_id.value), by=by)
