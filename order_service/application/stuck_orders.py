"""What an operator does about orders whose compensation nobody answered: look at them, and try it again."""

from collections.abc import Sequence
from dataclasses import dataclass

from order_service.application.fulfil_order import FulfilOrder
from order_service.application.ports import OrderStore
from order_service.domain.fulfilment import Retry
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import OrderStatus


@dataclass(frozen=True, slots=True)
class StuckOrders:
    """The use case with its ports."""

    orders: OrderStore
    fulfil: FulfilOrder

    async def newest(self, limit: int) -> Sequence[Order]:
        """The stuck orders, newest first."""
        return await self.orders.newest(status=OrderStatus.STUCK, before=None, limit=limit)

    async def count(self) -> int:
        """How many there are."""
        return await self.orders.count(OrderStatus.STUCK)

    async def retry(self, order_id: OrderId) -> Order:
        """Ask once more for what is not undone. An order that is not stuck stays as it is. Raises OrderNotFound."""
        return await self.fulfil(order_id, Retry())
