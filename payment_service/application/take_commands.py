"""Take the commands to charge and to refund orders."""

from dataclasses import dataclass
from uuid import UUID

from messaging.ports.changes import InboxClaim
from payment_service.application.cashier import Cashier
from payment_service.application.steps import Decide, Steps
from payment_service.domain.payment import Moment, Payment, Step
from shared_kernel.money import Money


@dataclass(frozen=True, slots=True)
class TakeCommands:
    """Record the commands, once for each claim. The call is made in the background, so a slow gateway does not delay
    commands."""

    steps: Steps
    cashier: Cashier

    async def charge(self, order_id: UUID, amount: Money, caller: str | None, claim: InboxClaim) -> None:
        """Charge the order, which is the caller's. Raises AmountChanged, InvalidPayment."""

        def decide(payment: Payment | None, moment: Moment) -> Step | None:
            return payment.charge(amount, moment) if payment else Payment.intent(order_id, amount, moment, caller)

        await self._take(order_id, decide, claim)

    async def refund(self, order_id: UUID, claim: InboxClaim) -> None:
        """Refund what was charged or may have been charged, and refuse a charge that comes later."""

        def decide(payment: Payment | None, moment: Moment) -> Step | None:
            return payment.refund(moment) if payment else Payment.tombstone(order_id, moment)

        await self._take(order_id, decide, claim)

    async def _take(self, order_id: UUID, decide: Decide, claim: InboxClaim) -> None:
        running = self.cashier.reserve()
        step = None
        try:
            step = await self.steps.take(order_id, decide, lease=running.lease if running else None, claim=claim)
        finally:
            if running is not None and step is not None and step.call:
                self.cashier.call(step.payment, running)
            elif running is not None:
                self.cashier.release()
