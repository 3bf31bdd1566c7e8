"""Say that the goods of a confirmed order have left; the inventory ships what it holds for it."""

from dataclasses import dataclass

from order_service.application.fulfil_order import FulfilOrder
from order_service.domain.fulfilment import Complete
from order_service.domain.order import Order, OrderId


@dataclass(frozen=True, slots=True)
class CompleteOrder:
    """The use case."""

    fulfil: FulfilOrder

    async def __call__(self, order_id: OrderId) -> Order:
        """Answer the order, completed. Raises OrderNotFound, IllegalTransition."""
        return await self.fulfil(order_id, Complete())
