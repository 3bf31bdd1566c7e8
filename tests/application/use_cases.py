"""The use cases over stores in memory, with a clock that a test sets."""

from collections.abc import Callable
from datetime import datetime

from uuid_utils.compat import uuid7

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import Creation, Write, Written
from order_service.application.fulfil_order import FulfilOrder
from order_service.application.moments import Moments
from order_service.application.ports import Clock, OrderStore, OrderWrite
from order_service.domain.fulfilment import Reaction
from order_service.domain.order import Order, OrderId
from order_service.infrastructure.memory_orders import MemoryOrders
from tests.domain.orders import LATER, STEP_TIMEOUT


def fulfil_on(orders: OrderStore, clock: Clock = lambda: LATER) -> FulfilOrder:
    """The use case on a store, a second after orders were placed."""
    return FulfilOrder(orders, Moments(clock, uuid7, STEP_TIMEOUT))


class OrdersInMemory(MemoryOrders):
    """A store with a look at the messages that it leaves to be published."""

    def __init__(self, clock: Clock = lambda: LATER) -> None:
        self.outbox = MemoryOutbox()
        super().__init__(self.outbox, clock)

    async def put(self, order: Order) -> OrderId:
        """Store an order as it is, with its events."""
        await self.create(Creation(order, order.events))
        return order.id

    async def get(self, order_id: OrderId) -> Order:
        """An order that is there."""
        order = await self.find(order_id)
        assert order is not None
        return order

    def messages(self) -> list[str]:
        """The types of the messages, those of one order in order."""
        return [message.type for shard in self.outbox._rows for message in shard.values()]


class RacedOrders(OrdersInMemory):
    """A store in which something else happens to the order just before the first of our writes."""

    def __init__(self, change: Callable[[Order], Order]) -> None:
        super().__init__()
        self._change: Callable[[Order], Order] | None = change

    async def write(self, write: OrderWrite) -> Written[Order, Reaction]:
        """Be slower than somebody else."""
        change, self._change = self._change, None
        if change is not None:
            await super().write(Write(write.id, lambda order: Reaction(change(order)) if order else None))
        return await super().write(write)


class At:
    """A clock that stands still until it is set."""

    def __init__(self, now: datetime = LATER) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now
