"""Handle the orders whose deadline has passed. A passed deadline is one more thing that happens to an order.

A command that waits in our own outbox has reached no partner yet. So deadlines are extended by the time that messages
had to wait lately. An answer may also wait to be read. So the waiting answers are read before an order counts as
overdue.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from messaging.ports.loop_time import loop_time
from messaging.ports.subscription import CaughtUp
from order_service.application.fulfil_order import FulfilOrder
from order_service.application.ports import OrderStore, Overdue
from order_service.domain.fulfilment import DeadlinePassed

AT_ONCE = 500
CATCH_UP_WITHIN = 600.0
LONGEST_GRACE = timedelta(days=1)
_NAMED_FAILURES = 10


class Grace:
    """The extension of deadlines: the longest time that a message was seen to wait in the outbox within the last
    `window` to 2 x `window` seconds.

    The window is the time of a step. So an order whose command waited still has at least that time after the command
    is published.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._since = 0.0
        self._longest = self._longest_before = timedelta(0)

    def after_waiting(self, waited: timedelta, now: float) -> timedelta:
        """The grace now. `waited` is how long the oldest message has waited."""
        if now - self._since >= self._window:
            self._since, self._longest_before, self._longest = now, self._longest, timedelta(0)
        self._longest = max(self._longest, min(waited, LONGEST_GRACE))
        return max(self._longest, self._longest_before)


class SweepDeadlines:
    """The use case with its ports. Two sweeps at the same time are harmless, because each order is decided on as it is.

    `caught_up` returns whether the waiting answers are handled. A topic that cannot be read delays deadlines for ten
    minutes at most.
    """

    def __init__(
        self,
        orders: OrderStore,
        fulfil: FulfilOrder,
        step_timeout: timedelta,
        caught_up: CaughtUp,
        seconds: Callable[[], float] = loop_time,
    ) -> None:
        self._orders = orders
        self._fulfil = fulfil
        self._seconds = seconds
        self._caught_up = caught_up
        self._grace = Grace(step_timeout.total_seconds())
        self._behind_since: float | None = None

    async def __call__(self) -> int:
        """Return how many orders were overdue. An order that fails does not delay the others. The failures are raised
        together as an ExceptionGroup."""
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
        """True when the waiting answers are read, or when that has been unknown for ten minutes."""
        if not overdue or self._caught_up():
            self._behind_since = None
            return True
        if self._behind_since is None:
            self._behind_since = self._seconds()
        return self._seconds() - self._behind_since >= CATCH_UP_WITHIN
