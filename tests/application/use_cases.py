"""The use cases over stores in memory, with a clock that a test sets."""

from collections.abc import Callable
from datetime import datetime

from uuid_utils.compat import uuid7

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import Changes, CommitResult
from order_service.application.fulfil_order import FulfilOrder
from order_service.application.moments import Moments
from order_service.application.ports import Clock, OrderChanges, OrderStore
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
        await MemoryOrders.commit(self, Changes(order, 0, order.events))
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
    """A store in which something else happens to the order just before each of our commits, `races` times."""

    def __init__(self, races: int, change: Callable[[Order], Order]) -> None:
        super().__init__()
        self._races = races
        self._change = change

    async def commit(self, changes: OrderChanges) -> CommitResult:
        """Lose the race first, if one is left."""
        if self._races:
            self._races -= 1
            current = await self.get(changes.aggregate.id)
            other = self._change(current)
            await super().commit(Changes(other, current.version, other.events))
        return await super().commit(changes)


class At:
    """A clock that stands still until it is set."""

    def __init__(self, now: datetime = LATER) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now
