"""What the use cases need from the outside, in their own words. Adapters: `order_service.infrastructure`,
`messaging`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias
from uuid import UUID

from messaging.ports.changes import Created, Creation, Duplicate, Write, Written
from order_service.domain.commands import Command
from order_service.domain.events import OrderEvent
from order_service.domain.fulfilment import Reaction
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import OrderStatus

Clock: TypeAlias = Callable[[], datetime]
"""The time now, aware and in UTC. Those of two machines differ."""

NewId: TypeAlias = Callable[[], UUID]
"""A fresh UUIDv7; later ones sort after earlier ones."""

NOT_LATER = timedelta(0)

OrderCreation: TypeAlias = Creation[Order, OrderEvent | Command]
OrderWrite: TypeAlias = Write[Order, Reaction]


@dataclass(frozen=True, slots=True)
class Overdue:
    """An order whose deadline had passed when it was at this version."""

    order_id: OrderId
    version: int
    deadline: datetime


class OrderStore(Protocol):
    """Where orders live. What is stored is durable, all or nothing, with the messages to publish.

    Deadlines are set and compared by the store's own clock, which is one for all instances.

    Every method raises StoreUnavailable when the store does not answer.
    """

    async def create(self, creation: OrderCreation) -> Created | Duplicate:
        """Store a new order. Raises IdTaken, and StoreOverloaded when too many wait already."""
        ...

    async def write(self, write: OrderWrite) -> Written[Order, Reaction]:
        """Change an order. Raises what the decision raises, and StoreOverloaded when too many wait already."""
        ...

    async def find(self, order_id: OrderId) -> Order | None:
        """The order as last committed."""
        ...

    async def newest(self, *, status: OrderStatus | None, before: OrderId | None, limit: int) -> Sequence[Order]:
        """At most `limit` orders, newest first: those in `status`, if given, and older than `before`, if given."""
        ...

    async def count(self, status: OrderStatus) -> int:
        """How many orders are in this status."""
        ...

    async def overdue(
        self, limit: int, *, grace: timedelta = NOT_LATER, after: Overdue | None = None
    ) -> Sequence[Overdue]:
        """At most `limit` orders whose deadline passed `grace` ago or before, those that have waited longest first:
        those behind `after`, if given."""
        ...

    async def unpublished_for(self) -> timedelta:
        """For how long the message that waits longest has waited to be published; 0 when none waits."""
        ...
