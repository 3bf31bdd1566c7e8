"""Payments in memory: `PAYMENT_DATABASE_URL=memory`. The same contract as PostgreSQL's, gone when the process ends."""

from collections.abc import Sequence
from datetime import UTC, datetime
from operator import itemgetter
from uuid import UUID

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import Committed, Conflict, Duplicate, Outcome
from payment_service.application import PaymentChanges, claimed_event
from payment_service.domain import Payment
from payment_service.infrastructure.event_encoding import encode


class MemoryPayments:
    """A PaymentStore without a database. One task at a time runs between awaits, so a commit cannot be half seen."""

    is_full = False

    def __init__(self, outbox: MemoryOutbox) -> None:
        self._outbox = outbox
        self._payments: dict[UUID, Payment] = {}
        self._inbox: set[UUID] = set()

    async def commit(self, changes: PaymentChanges) -> Outcome:
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
        self._payments[payment.order_id] = payment
        self._outbox.add(messages)
        return Committed()

    async def find(self, order_id: UUID) -> Payment | None:
        """See PaymentStore."""
        return self._payments.get(order_id)

    async def claim_due(self, now: datetime, limit: int, until: datetime) -> Sequence[Payment]:
        """See PaymentStore."""
        due = sorted(((at, payment) for at, payment in self._calls() if at <= now), key=itemgetter(0))
        claimed = [payment.claimed(now, until) for _, payment in due[:limit]]
        self._payments.update((payment.order_id, payment) for payment in claimed)
        return claimed

    async def in_doubt(self) -> tuple[int, float]:
        """See PostgresPayments."""
        calls = [at for at, _ in self._calls()]
        return len(calls), (datetime.now(UTC) - min(calls)).total_seconds() if calls else 0.0

    async def close(self) -> None:
        """Nothing to close."""

    def _calls(self) -> Sequence[tuple[datetime, Payment]]:
        return [(p.next_attempt_at, p) for p in self._payments.values() if p.next_attempt_at is not None]
