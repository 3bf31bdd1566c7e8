"""Orders in memory: `ORDER_DATABASE_URL=memory`. The same contract as PostgreSQL's, and gone when the process ends."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from operator import itemgetter
from uuid import UUID

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import Committed, Conflict, Duplicate, IdempotencyKey, InboxClaim, Outcome
from order_service.application.ports import OrderChanges
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import OrderStatus
from order_service.infrastructure.message_encoding import encode


class MemoryOrders:
    """An OrderStore without a database. One task at a time runs between awaits, so a commit cannot be half seen."""

    is_full = False

    def __init__(self, outbox: MemoryOutbox) -> None:
        self._outbox = outbox
        self._orders: dict[UUID, Order] = {}
        self._claims: dict[tuple[str, str] | UUID, Duplicate] = {}

    async def commit(self, changes: OrderChanges) -> Outcome:
        """See OrderStore."""
        order, claim = changes.aggregate, changes.claim
        if claim is not None and (first := self._claims.get(_key_of(claim))):
            return first
        stored = self._orders.get(order.id.value)
        if (stored.version if stored else 0) != changes.expected_version:
            return Conflict()
        messages = [encode(message) for message in changes.outgoing]
        match claim:
            case IdempotencyKey():
                self._claims[_key_of(claim)] = Duplicate(order.id.value, claim.request_hash)
            case InboxClaim():
                self._claims[_key_of(claim)] = Duplicate(order.id.value)
        self._orders[order.id.value] = replace(order, events=())
        self._outbox.add(messages)
        return Committed()

    async def find(self, order_id: OrderId) -> Order | None:
        """See OrderStore."""
        return self._orders.get(order_id.value)

    async def newest(self, *, status: OrderStatus | None, before: OrderId | None, limit: int) -> Sequence[Order]:
        """See OrderStore."""
        newest_first = sorted(self._orders.values(), key=lambda order: order.id.value, reverse=True)
        return [
            order
            for order in newest_first
            if (status is None or order.status is status) and (before is None or order.id.value < before.value)
        ][:limit]

    async def count(self, status: OrderStatus) -> int:
        """See OrderStore."""
        return sum(order.status is status for order in self._orders.values())

    async def overdue(self, now: datetime, limit: int) -> Sequence[OrderId]:
        """See OrderStore."""
        waiting = [(order.deadline, order.id) for order in self._orders.values() if order.deadline]
        return [order_id for deadline, order_id in sorted(waiting, key=itemgetter(0)) if deadline <= now][:limit]

    async def close(self) -> None:
        """Nothing to close."""


def _key_of(claim: IdempotencyKey | InboxClaim) -> tuple[str, str] | UUID:
    return claim.event_id if isinstance(claim, InboxClaim) else (claim.caller, claim.key)
