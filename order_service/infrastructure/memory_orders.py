"""Orders in memory: `ORDER_DATABASE_URL=memory`. The same contract as PostgreSQL's, and gone when the process ends."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import CommitResult, Committed, Conflict, Duplicate, IdempotencyKey, InboxClaim
from order_service.application.ports import NOT_LATER, Clock, OrderChanges, Overdue
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import ON_THE_WAY, OrderStatus
from order_service.infrastructure.message_encoding import encode


def _never_set_back() -> datetime:
    return datetime.fromtimestamp(time.monotonic(), UTC)


class MemoryOrders:
    """An OrderStore without a database. One task at a time runs between awaits, so a commit cannot be half seen."""

    is_full = False

    def __init__(self, outbox: MemoryOutbox, clock: Clock = _never_set_back) -> None:
        self._outbox = outbox
        self._clock = clock
        self._orders: dict[UUID, Order] = {}
        self._deadlines: dict[UUID, datetime] = {}
        self._claims: dict[tuple[str, str] | UUID, Duplicate] = {}

    async def commit(self, changes: OrderChanges) -> CommitResult:
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
        self._orders[order.id.value] = replace(order, events=(), patience=None)
        if order.status not in ON_THE_WAY:
            self._deadlines.pop(order.id.value, None)
        elif order.patience is not None:
            self._deadlines[order.id.value] = self._clock() + order.patience
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

    async def overdue(
        self, limit: int, *, grace: timedelta = NOT_LATER, after: Overdue | None = None
    ) -> Sequence[Overdue]:
        """See OrderStore."""
        place = (after.deadline, after.order_id.value) if after else None
        passed = self._clock() - grace
        waiting = sorted((deadline, order_id) for order_id, deadline in self._deadlines.items() if deadline <= passed)
        found = [at for at in waiting if place is None or at > place][:limit]
        return [Overdue(OrderId(order_id), self._orders[order_id].version, deadline) for deadline, order_id in found]

    async def unpublished_for(self) -> timedelta:
        """See OrderStore."""
        return timedelta(seconds=self._outbox.depth_and_age()[1])

    async def close(self) -> None:
        """Nothing to close."""


def _key_of(claim: IdempotencyKey | InboxClaim) -> tuple[str, str] | UUID:
    return claim.event_id if isinstance(claim, InboxClaim) else (claim.caller, claim.key)
