"""Take an order back: whatever was done for it, or may have been, is undone, and then it is CANCELLED."""

from dataclasses import dataclass

from order_service.application.fulfil_order import FulfilOrder
from order_service.domain.fulfilment import Cancel
from order_service.domain.order import Order, OrderId


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """The use case."""

    fulfil: FulfilOrder

    async def __call__(self, order_id: OrderId) -> Order:
        """Answer the order, on its way back or there already. Raises OrderNotFound, IllegalTransition."""
        return await self.fulfil(order_id, Cancel())
