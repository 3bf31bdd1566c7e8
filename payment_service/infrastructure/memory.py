"""Payments in memory: `PAYMENT_DATABASE_URL=memory`. The same contract as PostgreSQL's, gone when the process ends."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import CommitResult, Committed, Conflict, Duplicate
from payment_service.application import PaymentChanges, claimed_event
from payment_service.domain import Payment
from payment_service.infrastructure.event_encoding import encode


class MemoryPayments:
    """A PaymentStore without a database. One task at a time runs between awaits, so a commit cannot be half seen."""

    is_full = False

    def __init__(self, outbox: MemoryOutbox, seconds: Callable[[], float] = time.monotonic) -> None:
        self._outbox = outbox
        self._seconds = seconds
        self._due: dict[UUID, float] = {}
        self._payments: dict[UUID, Payment] = {}
        self._inbox: set[UUID] = set()

    async def commit(self, changes: PaymentChanges) -> CommitResult:
        """See PaymentStore."""
        payment, claimed = changes.aggregate, claimed_event(changes)
        if claimed in self._inbox:
            return Duplicate(payment.order_id)
        stored = self._payments.get(payment.order_id)
        if (stored.version if stored else 0) != changes.expected_version:
            return Conflict()
        messages = [encode(event) for event in changes.outgoing]
        if claimed is not None:
            self._inbox.add(claimed)
        self._put(payment)
        self._outbox.add(messages)
        return Committed()

    async def find(self, order_id: UUID) -> Payment | None:
        """See PaymentStore."""
        return self._payments.get(order_id)

    async def claim_due(self, limit: int, lease: timedelta) -> Sequence[Payment]:
        """See PaymentStore."""
        now = self._seconds()
        due = sorted((at, order_id) for order_id, at in self._due.items() if at <= now)
        return [
            self._put(self._payments[order_id].claimed(self._payments[order_id].updated_at, lease))
            for _, order_id in due[:limit]
        ]

    async def in_doubt(self) -> tuple[int, float]:
        """See PostgresPayments."""
        return len(self._due), self._seconds() - min(self._due.values()) if self._due else 0.0

    async def close(self) -> None:
        """Nothing to close."""

    def _put(self, payment: Payment) -> Payment:
        if payment.next_call is None:
            self._due.pop(payment.order_id, None)
        elif payment.call_after is not None:
            self._due[payment.order_id] = self._seconds() + payment.call_after.total_seconds()
        self._payments[payment.order_id] = replace(payment, call_after=None)
        return self._payments[payment.order_id]
