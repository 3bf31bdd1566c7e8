"""See to the orders whose answer is overdue: a deadline is one more thing that happens to an order.

Not every minute counts. A command that waits in our own outbox has reached nobody, so deadlines are later by what
messages had to wait lately. And an answer that waits to be read is there: before an order is called overdue, what is
waiting is read.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from messaging.ports.subscription import CaughtUp
from order_service.application.fulfil_order import FulfilOrder
from order_service.application.ports import OrderStore, Overdue
from order_service.domain.fulfilment import DeadlinePassed

AT_ONCE = 500
CATCH_UP_WITHIN = 600.0
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
    """The use case with its ports. Two sweeps at the same time are harmless: each order is decided on as it is.

    `caught_up` says whether the answers that were waiting are handled. A topic that cannot be read holds up deadlines
    for ten minutes, not for ever.
    """

    def __init__(
        self,
        orders: OrderStore,
        fulfil: FulfilOrder,
        step_timeout: timedelta,
        caught_up: CaughtUp,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._orders = orders
        self._fulfil = fulfil
        self._seconds = seconds
        self._caught_up = caught_up
        self._grace = Grace(step_timeout.total_seconds())
        self._behind_since: float | None = None

    async def __call__(self) -> int:
        """Say how many orders were overdue. An order that cannot be seen to holds up none of the others; what was
        wrong with such orders is raised as an ExceptionGroup."""
        grace = self._grace.after_waiting(await self._orders.unpublished_for(), self._seconds())
        overdue = await self._orders.overdue(AT_ONCE, grace=grace)
        if not self._may_judge(overdue):
            return 0
        count, failed, failures = 0, 0, list[Exception]()
        while overdue:
            seen_to = (self._fulfil(order.order_id, DeadlinePassed(order.version)) for order in overdue)
            outcomes = await asyncio.gather(*seen_to, return_exceptions=True)
            wrong = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
            count, failed = count + len(overdue), failed + len(wrong)
            failures = (failures + wrong)[:_NAMED_FAILURES]
            if len(overdue) < AT_ONCE:
                break
            overdue = await self._orders.overdue(AT_ONCE, grace=grace, after=overdue[-1])
        if failures:
            raise ExceptionGroup(f"{failed} of {count} overdue orders: {failures[0]}", failures)
        return count

    def _may_judge(self, overdue: Sequence[Overdue]) -> bool:
        """Those that look overdue are so when there is no answer that waits to be read, or that cannot be known."""
        if not overdue or self._caught_up():
            self._behind_since = None
            return True
        if self._behind_since is None:
            self._behind_since = self._seconds()
        return self._seconds() - self._behind_since >= CATCH_UP_WITHIN
