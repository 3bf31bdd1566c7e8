"""Read one order by its id, or pages of orders, newest first."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from order_service.application.ports import OrderStore
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import ON_THE_WAY, OrderStatus
from shared_kernel.caller import Caller, Scope

_SHORTEST_PAUSE = 0.01
_LONGEST_PAUSE = 0.25


class OrderNotFound(Exception):
    """There is no order of this id, as far as the caller may know. `is_anothers` is for the audit trail only."""

    def __init__(self, order_id: OrderId, *, is_anothers: bool = False) -> None:
        super().__init__(f"there is no order {order_id}")
        self.order_id = order_id
        self.is_anothers = is_anothers


@dataclass(frozen=True, slots=True)
class OrderPage:
    """`next_before` continues the listing, or is None when this was the last page."""

    orders: Sequence[Order]
    next_before: OrderId | None


@dataclass(frozen=True, slots=True)
class FindOrders:
    """The use case with its ports. A caller finds its own orders, and an operator finds all of them.

    Once `stopping` is set, `settled` no longer waits.
    """

    orders: OrderStore
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def one(self, order_id: OrderId, by: Caller) -> Order:
        """The order. Raises OrderNotFound."""
        order = await self.orders.find(order_id)
        if order is None or not by.may_see(order.caller):
            raise OrderNotFound(order_id, is_anothers=order is not None)
        return order

    async def settled(self, order_id: OrderId, by: Caller, *, within: float) -> Order:
        """The order once it is settled, which means neither PENDING nor CANCELLING.

        After `within` seconds, or when the process stops, the order is returned as it is. Raises OrderNotFound.
        """
        give_up_at = asyncio.get_running_loop().time() + within
        pause = _SHORTEST_PAUSE
        while (order := await self.one(order_id, by)).status in ON_THE_WAY:
            left = give_up_at - asyncio.get_running_loop().time()
            if left <= 0 or self.stopping.is_set():
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause, left)):
                    await self.stopping.wait()
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return order

    async def page(self, by: Caller, *, status: OrderStatus | None, before: OrderId | None, limit: int) -> OrderPage:
        """Orders older than `before`. New orders do not shift the pages, because a place is an id and not a count."""
        owner = None if Scope.OPERATOR in by.scopes else by.name
        found = await self.orders.newest(status=status, before=before, limit=limit + 1, caller=owner)
        page = found[:limit]
        return OrderPage(page, page[-1].id if len(found) > limit else None)
