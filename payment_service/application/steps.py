"""Deciding the steps of payments and storing them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from messaging.ports.changes import InboxClaim, Write
from payment_service.application.ports import Clock, NewId, PaymentStore
from payment_service.domain.lease import Lease
from payment_service.domain.payment import Moment, Payment, Step

Decide: TypeAlias = Callable[[Payment | None, Moment], Step | None]
"""A decision of the domain on the stored payment, which is None when there is none yet."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Decides steps of payments and stores them."""

    payments: PaymentStore
    clock: Clock
    new_id: NewId

    async def take(
        self, order_id: UUID, decide: Decide, *, lease: Lease | None, claim: InboxClaim | None = None
    ) -> Step | None:
        """Return the step that was stored. None means that nothing was to be done, or that it was done before."""
        moment = Moment(self.clock(), self.new_id(), lease)
        written = await self.payments.write(Write(order_id, lambda payment: decide(payment, moment), claim))
        return written.decision
