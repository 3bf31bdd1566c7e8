"""PAYMENT_GATEWAY=simulated: a gateway that moves no money, for trials and tests.

It declines amounts over a limit and captures all others. It can be slow, and it can fail. Its answer depends on the
call alone, so each key gets the same answer again, also after a restart.
"""

import asyncio
import random
from decimal import Decimal
from uuid import UUID

from payment_service.application.ports import Captured, Declined, GatewayUnavailable
from shared_kernel.money import Money


class SimulatedGateway:
    """See PaymentGateway. `limit` is the highest amount that is captured, in any currency. Each call takes `delay`
    seconds and fails with a probability of `failure_rate`."""

    def __init__(self, *, limit: Decimal, delay: float = 0.0, failure_rate: float = 0.0) -> None:
        self._limit = limit
        self._delay = delay
        self._failure_rate = failure_rate

    async def charge(self, key: str, order_id: UUID, amount: Money) -> Captured | Declined:  # noqa: ARG002
        """See PaymentGateway."""
        await self._work()
        if Decimal(amount.amount) > self._limit:
            return Declined(f"the amount {amount.amount} {amount.currency} is over the limit of {self._limit}")
        return Captured(f"simulated-{order_id}")

    async def refund(self, key: str, order_id: UUID, amount: Money) -> None:  # noqa: ARG002
        """See PaymentGateway."""
        await self._work()

    async def _work(self) -> None:
        await asyncio.sleep(self._delay)
        if random.random() < self._failure_rate:  # noqa: S311  a chance, not a secret
            raise GatewayUnavailable("the simulated gateway fails as often as it was told to")
