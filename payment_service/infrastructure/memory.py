"""Payments in memory: `PAYMENT_DATABASE_URL=memory`. The contract of PostgreSQL, but nothing
survives the process."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from messaging.memory.outbox import MemoryOutbox
from messaging.memory.row_store import MemoryRows
from messaging.ports.changes import Written
from messaging.ports.message import Message
from payment_service.application.ports import PaymentWrite
from payment_service.domain.lease import Holder, Lease
from payment_service.domain.payment import Payment, Step
from payment_service.infrastructure.event_encoding import effect_of


class MemoryPayments:
    """A PaymentStore without a database. A write has no await in the middle, so no task sees half of it."""

    is_full = False

    def __init__(self, outbox: MemoryOutbox, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._due: dict[UUID, float] = {}
        self._holders: dict[UUID, Holder] = {}
        self._rows = MemoryRows[Payment, Step](outbox, _effect_of)

    async def write(self, write: PaymentWrite) -> Written[Payment, Step]:
        """See PaymentStore."""
        written = await self._rows.write(write)
        if written.decision is not None:
            self._keep_due(written.decision.payment)
        return written

    async def find(self, order_id: UUID) -> Payment | None:
        """See PaymentStore."""
        return self._rows.rows.get(order_id)

    async def claim_due(self, limit: int, lease: Lease) -> Sequence[Payment]:
        """See PaymentStore."""
        now = self._seconds()
        return self._claim([order_id for order_id, at in self._due.items() if at <= now], limit, lease)

    async def claim_inherited(self, limit: int, lease: Lease) -> Sequence[Payment]:
        """See PaymentStore."""
        me = lease.holder
        left = [order_id for order_id, it in self._holders.items() if it.place == me.place and it != me]
        return self._claim(left, limit, lease)

    async def in_doubt(self) -> tuple[int, float]:
        """See PostgresPayments."""
        return len(self._due), self._seconds() - min(self._due.values()) if self._due else 0.0

    async def close(self) -> None:
        """Nothing to close."""

    def _claim(self, orders: Sequence[UUID], limit: int, lease: Lease) -> Sequence[Payment]:
        oldest = sorted(orders, key=lambda order_id: (self._due[order_id], order_id))[:limit]
        return [self._claimed(self._rows.rows[order_id], lease) for order_id in oldest]

    def _claimed(self, payment: Payment, lease: Lease) -> Payment:
        claimed = payment.claimed(payment.updated_at, lease)
        self._keep_due(claimed)
        self._rows.rows[payment.order_id] = _stored(claimed)
        return self._rows.rows[payment.order_id]

    def _keep_due(self, payment: Payment) -> None:
        order_id, after = payment.order_id, payment.call_after
        if after is not None or payment.next_call is None:
            self._due.pop(order_id, None)
            self._holders.pop(order_id, None)
        if isinstance(after, Lease):
            self._holders[order_id] = after.holder
            after = after.length
        if after is not None:
            self._due[order_id] = self._seconds() + after.total_seconds()


def _stored(payment: Payment) -> Payment:
    return replace(payment, call_after=None)


def _effect_of(step: Step) -> tuple[Payment, list[Message]]:
    payment, messages = effect_of(step)
    return _stored(payment), messages
