"""Orders in memory: `ORDER_DATABASE_URL=memory`. The contract of PostgreSQL, but nothing
survives the process."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from messaging.engine.message_spans import created
from messaging.memory.outbox import MemoryOutbox
from messaging.memory.row_store import MemoryRows
from messaging.ports.changes import Created, Duplicate, IdTaken, Written
from messaging.ports.message import Message
from order_service.application.ports import NOT_LATER, Clock, OrderCreation, OrderWrite, Overdue
from order_service.domain.fulfilment import Reaction
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import ON_THE_WAY, OrderStatus
from order_service.infrastructure.message_encoding import ALWAYS_TRACED, effect_of, encode
from order_service.infrastructure.order_metrics import ACCEPTED
from order_service.infrastructure.unknown_orders import MemoryUnknownOrders


def _never_set_back() -> datetime:
    return datetime.fromtimestamp(time.monotonic(), UTC)


class MemoryOrders:
    """An OrderStore without a database. A write has no await in the middle, so no task sees half of it."""

    is_full = False

    def __init__(self, outbox: MemoryOutbox, clock: Clock = _never_set_back) -> None:
        self._outbox = outbox
        self._clock = clock
        self._rows = MemoryRows[Order, Reaction](outbox, _effect_of, ALWAYS_TRACED)
        self.unknown = MemoryUnknownOrders(outbox)
        self._deadlines: dict[UUID, datetime] = {}
        self._firsts: dict[tuple[str, str], Duplicate] = {}

    async def create(self, creation: OrderCreation) -> Created | Duplicate:
        """See OrderStore."""
        order, claim = creation.aggregate, creation.claim
        if claim is not None and (first := self._firsts.get((claim.caller, claim.key))):
            return first
        if order.id.value in self._rows.rows:
            raise IdTaken(f"the id of a new order is taken: {order.id}")
        messages = created([encode(message) for message in creation.outgoing], creation.trace)
        if claim is not None:
            self._firsts[claim.caller, claim.key] = Duplicate(order.id.value, claim.request_hash)
        self._rows.rows[order.id.value] = _stored(order)
        self._rows.keep_origin(order.id.value, creation.trace)
        self._keep_deadline(order)
        self._outbox.add(messages)
        ACCEPTED.inc()
        return Created()

    async def write(self, write: OrderWrite) -> Written[Order, Reaction]:
        """See OrderStore."""
        written = await self._rows.write(write)
        if written.decision is not None:
            self._keep_deadline(written.decision.order)
        return written

    async def find(self, order_id: OrderId) -> Order | None:
        """See OrderStore."""
        return self._rows.rows.get(order_id.value)

    async def newest(
        self, *, status: OrderStatus | None, before: OrderId | None, limit: int, caller: str | None = None
    ) -> Sequence[Order]:
        """See OrderStore."""
        newest_first = sorted(self._rows.rows.values(), key=lambda order: order.id.value, reverse=True)
        return [
            order
            for order in newest_first
            if (status is None or order.status is status)
            and (before is None or order.id.value < before.value)
            and (caller is None or order.caller == caller)
        ][:limit]

    async def count(self, status: OrderStatus) -> int:
        """See OrderStore."""
        return sum(order.status is status for order in self._rows.rows.values())

    async def overdue(
        self, limit: int, *, grace: timedelta = NOT_LATER, after: Overdue | None = None
    ) -> Sequence[Overdue]:
        """See OrderStore."""
        place = (after.deadline, after.order_id.value) if after else None
        passed = self._clock() - grace
        waiting = sorted((deadline, order_id) for order_id, deadline in self._deadlines.items() if deadline <= passed)
        found = [at for at in waiting if place is None or at > place][:limit]
        return [Overdue(OrderId(order_id), self._rows.rows[order_id].version, deadline) for deadline, order_id in found]

    async def unpublished_for(self) -> timedelta:
        """See OrderStore."""
        return timedelta(seconds=self._outbox.depth_and_age()[1])

    async def close(self) -> None:
        """Nothing to close."""

    def _keep_deadline(self, order: Order) -> None:
        if order.status not in ON_THE_WAY:
            self._deadlines.pop(order.id.value, None)
        elif order.patience is not None:
            self._deadlines[order.id.value] = self._clock() + order.patience


def _stored(order: Order) -> Order:
    return replace(order, events=(), patience=None)


def _effect_of(reaction: Reaction) -> tuple[Order, list[Message]]:
    order, messages = effect_of(reaction)
    return _stored(order), messages
