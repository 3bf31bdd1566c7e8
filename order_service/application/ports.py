"""The ports of the use cases. Their adapters are in `order_service.infrastructure` and `messaging`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias
from uuid import UUID

from messaging.ports.changes import Created, Creation, Duplicate, Write, Written
from order_service.domain.commands import Command
from order_service.domain.events import OrderEvent
from order_service.domain.fulfilment import Happening, Reaction
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import OrderStatus
from order_service.domain.unknown_order import Compensation, UnknownOrder

Clock: TypeAlias = Callable[[], datetime]
"""The time now, aware and in UTC. The clocks of two machines differ."""

NewId: TypeAlias = Callable[[], UUID]
"""A fresh UUIDv7. Later ones sort after earlier ones."""

NOT_LATER = timedelta(0)

Watch: TypeAlias = Callable[[Order, Happening, Reaction], None]
"""Is told of every change of an order once it is stored: the order before it, the happening, and the reaction."""

OrderCreation: TypeAlias = Creation[Order, OrderEvent | Command]
OrderWrite: TypeAlias = Write[Order, Reaction]


@dataclass(frozen=True, slots=True)
class Overdue:
    """An order that was at this version when its deadline passed."""

    order_id: OrderId
    version: int
    deadline: datetime


class OrderStore(Protocol):
    """The store of orders. Each write is durable and atomic, together with the messages to publish.

    Deadlines are set and compared by the clock of the store, which all instances share.

    Every method raises StoreUnavailable when the store does not answer.
    """

    async def create(self, creation: OrderCreation) -> Created | Duplicate:
        """Store a new order. Raises IdTaken, and StoreOverloaded when too many writes wait already."""
        ...

    async def write(self, write: OrderWrite) -> Written[Order, Reaction]:
        """Change an order. Raises the decision's exceptions, and StoreOverloaded when too many writes wait already."""
        ...

    async def find(self, order_id: OrderId) -> Order | None:
        """The order as last committed."""
        ...

    async def newest(
        self, *, status: OrderStatus | None, before: OrderId | None, limit: int, caller: str | None = None
    ) -> Sequence[Order]:
        """At most `limit` orders, newest first: those in `status`, older than `before` and of `caller`, as far as these
        are given."""
        ...

    async def count(self, status: OrderStatus) -> int:
        """How many orders are in this status, counted up to 10,000."""
        ...

    async def overdue(
        self, limit: int, *, grace: timedelta = NOT_LATER, after: Overdue | None = None
    ) -> Sequence[Overdue]:
        """At most `limit` orders whose deadline passed at least `grace` ago, the longest overdue first. With `after`,
        only those behind it."""
        ...

    async def unpublished_for(self) -> timedelta:
        """How long the oldest unpublished message has waited. 0 when none waits."""
        ...


class UnknownOrderStore(Protocol):
    """The store of orders that were not found. Every method raises StoreUnavailable when the store does not answer."""

    async def write(self, write: Write[UnknownOrder, Compensation]) -> Written[UnknownOrder, Compensation]:
        """Store a compensation with its commands. Raises StoreOverloaded when too many writes wait already."""
        ...

    async def newest(self, limit: int) -> Sequence[UnknownOrder]:
        """At most `limit` of them, those with the newest answers first."""
        ...

    async def count(self) -> int:
        """How many there are, counted up to 10,000."""
        ...
