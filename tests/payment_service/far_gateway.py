"""A gateway in the test's own hands: it answers when, and what, the test says."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from payment_service.application.ports import Captured, Declined
from shared_kernel.money import Money
from tests.real_parts.waiting import DEADLINE


@dataclass
class FarGateway:
    """While `open` is not set, calls wait. `problems` are raised by the next calls, one each."""

    calls: list[str] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    problems: list[Exception] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def charge(self, key: str, order_id: UUID, amount: Money) -> Captured | Declined:
        """See PaymentGateway. Amounts over a thousand are declined."""
        await self._work(key)
        return Captured(f"ch_{order_id}") if amount.minor <= 1000_00 else Declined("no cover")

    async def refund(self, key: str, order_id: UUID, amount: Money) -> None:  # noqa: ARG002
        """See PaymentGateway."""
        await self._work(key)

    async def _work(self, key: str) -> None:
        self.calls.append(key)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.open.wait()
            if self.problems:
                raise self.problems.pop(0)
        finally:
            self.under_way -= 1


async def until(holds: Callable[[], bool], what: str) -> None:
    """Let others work until it holds. Raises AssertionError."""
    try:
        async with asyncio.timeout(DEADLINE):
            while not holds():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"waited in vain until {what}") from None
