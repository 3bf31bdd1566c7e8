"""See to the orders whose answer is overdue: a deadline is one more thing that happens to an order.

A command that waits in our own outbox has reached nobody, so that time does not count: deadlines are later by what
messages had to wait lately.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

from order_service.application.fulfil_order import FulfilOrder
from order_service.application.ports import OrderStore
from order_service.domain.fulfilment import DeadlinePassed

AT_ONCE = 500
LONGEST_GRACE = timedelta(days=1)
_NAMED_FAILURES = 10


class Grace:
    """How much later deadlines are: the longest that a message was seen to wait in the outbox within the last
    `window` seconds, or up to twice as many. With a window of a step's time, an order whose command waited has at
    least a step's time after the command is out."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._since = 0.0
        self._longest = self._longest_before = timedelta(0)

    def after_waiting(self, waited: timedelta, now: float) -> timedelta:
        """The grace now, when the oldest message has waited for so long."""
        if now - self._since >= self._window:
            self._since, self._longest_before, self._longest = now, self._longest, timedelta(0)
        self._longest = max(self._longest, min(waited, LONGEST_GRACE))
        return max(self._longest, self._longest_before)


class SweepDeadlines:
    """The use case with its ports. Two sweeps at the same time are harmless: each order is decided on its version."""

    def __init__(
        self,
        orders: OrderStore,
        fulfil: FulfilOrder,
        step_timeout: timedelta,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._orders = orders
        self._fulfil = fulfil
        self._seconds = seconds
        self._grace = Grace(step_timeout.total_seconds())

    async def __call__(self) -> int:
        """Say how many orders were overdue. An order that cannot be seen to holds up none of the others; what was
        wrong with such orders is raised as an ExceptionGroup."""
        grace = self._grace.after_waiting(await self._orders.unpublished_for(), self._seconds())
        count, failed, failures, last = 0, 0, list[Exception](), None
        while overdue := await self._orders.overdue(AT_ONCE, grace=grace, after=last):
            seen_to = (self._fulfil(order.order_id, DeadlinePassed(order.version)) for order in overdue)
            outcomes = await asyncio.gather(*seen_to, return_exceptions=True)
            wrong = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
            count, failed, last = count + len(overdue), failed + len(wrong), overdue[-1]
            failures = (failures + wrong)[:_NAMED_FAILURES]
            if len(overdue) < AT_ONCE:
                break
        if failures:
            raise ExceptionGroup(f"{failed} of {count} overdue orders: {failures[0]}", failures)
        return count
