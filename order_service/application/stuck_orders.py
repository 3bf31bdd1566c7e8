"""Operators list the orders whose compensation was never answered, and retry it."""

from collections.abc import Sequence
from dataclasses import dataclass

from messaging.ports.audit import done
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
        """How many orders are stuck."""
        return await self.orders.count(OrderStatus.STUCK)

    async def retry(self, order_id: OrderId) -> Order:
        """Send the missing compensation once more. An order that is not stuck stays as it is. Raises OrderNotFound."""
        return await self.fulfil(order_id, Retry(), audit=done("order.retry", order_id=order_id.value))
