"""Call the gateway and record its answer: intent, call and outcome, in this order and never in one transaction.

A process may end after each of the three. Then the payment's call becomes due, and a sweep of any process makes the
call again with the same key. A process that follows a dead one at its place makes them at once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from messaging.ports.changes import StoreOverloaded, StoreUnavailable
from messaging.ports.loop_time import loop_time
from payment_service.application.ports import Captured, Declined, GatewayUnavailable, PaymentGateway
from payment_service.application.steps import Steps
from payment_service.domain.lease import Lease
from payment_service.domain.payment import Call, Moment, Payment, Step

# More calls than these would wait here for longer than their lease. The others wait in the database.
_WAITING_FOR_EACH_CALL = 15
_FINISH_WITHIN = 1.5

RecordAnswer: TypeAlias = Callable[[Payment, Moment], Step | None]
"""The step that records what the gateway answered, or None when the payment already has that answer."""

log = logging.getLogger("cashier")


@dataclass(frozen=True, slots=True)
class RunningLease:
    """A lease of this process. It is measured here from before it is stored, so it ends here before it ends in the
    store, for any difference of the clocks."""

    lease: Lease
    seconds: Callable[[], float]
    began: float

    @property
    def is_over(self) -> bool:
        """True when another process may already make the call."""
        return self.seconds() - self.began >= self.lease.length.total_seconds()


class Cashier:
    """Calls the gateway for payments whose intent is on disk, and records the answers.

    At most `at_once` calls are under way, and fifteen times as many wait for their turn. Further calls stay in the
    store until a sweep has room for them. During the `lease` only this process makes a call that it began. After the
    lease any process makes the call again.

    For the length of one lease after its start, the cashier also claims what earlier processes of its place have left.
    By then their leases are over.
    """

    def __init__(
        self,
        steps: Steps,
        gateway: PaymentGateway,
        *,
        at_once: int,
        lease: Lease,
        seconds: Callable[[], float] = loop_time,
    ) -> None:
        self._steps = steps
        self._gateway = gateway
        self._lease = lease
        self._seconds = seconds
        self._turn = asyncio.Semaphore(at_once)
        self._room = at_once * (1 + _WAITING_FOR_EACH_CALL)
        self._at_hand: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._finish_by: float | None = None
        self._inheritance = self._new_lease()

    def reserve(self) -> RunningLease | None:
        """Reserve room for one call, and return the lease of that call. None means that there is no room.

        The caller uses the room by `call`, or gives it back by `release`."""
        if self._stopping or self._room <= 0:
            return None
        self._room -= 1
        return self._new_lease()

    def release(self) -> None:
        """Give back what was reserved."""
        self._room += 1

    def call(self, payment: Payment, lease: RunningLease) -> None:
        """Make the payment's next call in the background, in the room that was reserved for it."""
        task = asyncio.create_task(self._call_until_done(payment, lease))
        self._at_hand.add(task)
        task.add_done_callback(self._done)

    async def sweep(self) -> None:
        """Make the calls that are due, because they had no room, failed, or were interrupted by a crash."""
        if self._stopping or self._room <= 0:
            return
        # Commands may reserve room during this await. Then there are more calls than room for a moment.
        if not self._inheritance.is_over:
            await self._claim(self._steps.payments.claim_inherited)
        await self._claim(self._steps.payments.claim_due)

    def finish_soon(self) -> None:
        """Start the time that the current calls have left. The process calls this when it is told to end, so that the
        calls and the requests in flight are waited for together."""
        if self._finish_by is None:
            self._finish_by = loop_time() + _FINISH_WITHIN

    async def close(self) -> None:
        """Begin no new call, and wait for the current ones until 1.5 seconds after `finish_soon`. A sweep makes the
        unfinished ones again."""
        self._stopping = True
        self.finish_soon()
        if self._at_hand and self._finish_by is not None:
            _, hanging = await asyncio.wait(self._at_hand, timeout=max(0.0, self._finish_by - loop_time()))
            for task in hanging:
                task.cancel()
            if hanging:
                await asyncio.wait(hanging, timeout=_FINISH_WITHIN)

    async def _claim(self, claim: Callable[[int, Lease], Awaitable[Sequence[Payment]]]) -> None:
        lease = self._new_lease()
        for payment in await claim(max(self._room, 0), lease.lease):
            self._room -= 1
            self.call(payment, lease)

    def _new_lease(self) -> RunningLease:
        return RunningLease(self._lease, self._seconds, self._seconds())

    def _done(self, task: asyncio.Task[None]) -> None:
        self._at_hand.discard(task)
        self.release()
        if task.cancelled() and not self._stopping:
            log.warning("a call was cut off, and will be made again")

    async def _call_until_done(self, payment: Payment, lease: RunningLease) -> None:
        step: Step | None = Step(payment, call=True)
        try:
            while step is not None and step.call and not self._stopping:
                step, lease = await self._call(step.payment, lease)
        except (StoreUnavailable, StoreOverloaded) as error:
            log.warning(
                "the gateway's answer for %s is not recorded, and will be asked for again: %s", payment.order_id, error
            )
        except Exception:
            log.exception("a call for %s failed, and will be made again", payment.order_id)

    async def _call(self, payment: Payment, lease: RunningLease) -> tuple[Step | None, RunningLease]:
        """Return the step that the call led to, and the lease of the next call."""
        async with self._turn:
            if self._stopping or lease.is_over:
                return None, lease  # a sweep makes the call
            record_answer = await self._ask(payment)
        next_lease = self._new_lease()
        step = await self._steps.take(
            payment.order_id,
            lambda current, moment: record_answer(current, moment) if current else None,
            lease=next_lease.lease,
        )
        return step, next_lease

    async def _ask(self, payment: Payment) -> RecordAnswer:
        """Make the call, and return the decision that records its answer."""
        call, amount = payment.next_call, payment.amount
        if call is None or amount is None:
            raise ValueError(f"there is no call to make for {payment}")
        key = f"{payment.order_id}:{call}"
        try:
            if call is Call.REFUND:
                await self._gateway.refund(key, payment.order_id, amount)
                return Payment.refunded
            answer = await self._gateway.charge(key, payment.order_id, amount)
        except GatewayUnavailable as unknown:
            wished = unknown.retry_after
            return lambda current, moment: current.unanswered(call, moment, wished)
        match answer:
            case Captured(reference):
                return lambda current, moment: current.charged(reference, moment)
            case Declined(reason):
                return lambda current, moment: current.declined(reason, moment)
