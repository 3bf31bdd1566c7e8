"""See to the orders whose answer is overdue: a deadline is one more thing that happens to an order."""

import asyncio
from dataclasses import dataclass

from order_service.application.fulfil_order import FulfilOrder
from order_service.application.ports import Clock, OrderStore
from order_service.domain.fulfilment import DeadlinePassed

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class SweepDeadlines:
    """The use case with its ports. Two sweeps at the same time are harmless: each order is decided on its version."""

    orders: OrderStore
    clock: Clock
    fulfil: FulfilOrder

    async def __call__(self) -> int:
        """Say how many orders were overdue. An order that cannot be seen to holds up none of its neighbours; what was
        wrong with such orders is raised as an ExceptionGroup."""
        count = 0
        while overdue := await self.orders.overdue(self.clock(), AT_ONCE):
            seen_to = (self.fulfil(order_id, DeadlinePassed()) for order_id in overdue)
            outcomes = await asyncio.gather(*seen_to, return_exceptions=True)
            failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
            if failures:
                raise ExceptionGroup(f"{len(failures)} of {len(overdue)} overdue orders: {failures[0]}", failures)
            count += len(overdue)
            if len(overdue) < AT_ONCE:
                break
        return count
