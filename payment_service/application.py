"""Take commands, call the gateway and record its answer: intent, call and outcome, in this order and never in one
transaction.

A process may end after each of the three. Then the payment's call becomes due, and a sweep of any process makes the
call again with the same key.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias
from uuid import UUID

from messaging.ports.changes import InboxClaim, StoreOverloaded, StoreUnavailable, Write, Written
from payment_service.domain import Call, Moment, Payment, Step
from shared_kernel.money import Money

# More calls than these would wait here for longer than their lease. The others wait in the database.
_WAITING_FOR_EACH_CALL = 15
_FINISH_WITHIN = 1.5

Clock: TypeAlias = Callable[[], datetime]
"""The time now, aware and in UTC."""

NewId: TypeAlias = Callable[[], UUID]
"""A fresh UUIDv7."""

PaymentWrite: TypeAlias = Write[Payment, Step]

Decide: TypeAlias = Callable[[Payment | None, Moment], Step | None]
"""A decision of the domain on the stored payment, which is None when there is none yet."""

RecordAnswer: TypeAlias = Callable[[Payment, Moment], Step | None]
"""The step that records what the gateway answered, or None when the payment already has that answer."""

log = logging.getLogger("cashier")


class PaymentNotFound(Exception):
    """There is no payment for this order: neither a charge nor a refund was asked for."""

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"there is no payment for the order {order_id}")


class PaymentStore(Protocol):
    """The store of payments. The time when a call is due is set and compared by the clock of the store, which all
    instances share. Every method raises StoreUnavailable when the store does not answer."""

    async def write(self, write: PaymentWrite) -> Written[Payment, Step]:
        """Store the next or the first step of a payment. Raises the decision's exceptions, and StoreOverloaded."""
        ...

    async def find(self, order_id: UUID) -> Payment | None:
        """The payment as last committed."""
        ...

    async def claim_due(self, limit: int, lease: timedelta) -> Sequence[Payment]:
        """Payments whose call is due, the longest due first, each with that call begun (`Payment.claimed`). No two
        callers get the same one."""
        ...


class GatewayUnavailable(Exception):
    """The result of the call is unknown: money may have moved, or not. The same call with the same key will tell. The
    gateway may have asked that it is not made before `retry_after` has passed."""

    def __init__(self, problem: str, retry_after: timedelta = timedelta()) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Captured:
    """The gateway took the money. `reference` is its name for the charge."""

    reference: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The gateway did not take the money, and never will with this key."""

    reason: str


class PaymentGateway(Protocol):
    """Moves money. Calls with the same key count as one: money moves once, and each call gets the first answer.

    Both methods raise GatewayUnavailable.
    """

    async def charge(self, key: str, order_id: UUID, amount: Money) -> Captured | Declined:
        """Take the money for an order."""
        ...

    async def refund(self, key: str, order_id: UUID, amount: Money) -> None:
        """Give the money of an order back."""
        ...


@dataclass(frozen=True, slots=True)
class Steps:
    """Decides steps of payments and stores them."""

    payments: PaymentStore
    clock: Clock
    new_id: NewId

    async def take(
        self, order_id: UUID, decide: Decide, *, lease: timedelta | None, claim: InboxClaim | None = None
    ) -> Step | None:
        """Return the step that was stored. None means that nothing was to be done, or that it was done before."""
        moment = Moment(self.clock(), self.new_id(), lease)
        written = await self.payments.write(Write(order_id, lambda payment: decide(payment, moment), claim))
        return written.decision


@dataclass(frozen=True, slots=True)
class Lease:
    """The time for which only this process makes a call. It is measured here from before it is stored, so it ends here
    before it ends in the store, for any difference of the clocks."""

    length: timedelta
    seconds: Callable[[], float]
    began: float

    @property
    def is_over(self) -> bool:
        """True when another process may already make the call."""
        return self.seconds() - self.began >= self.length.total_seconds()


class Cashier:
    """Calls the gateway for payments whose intent is on disk, and records the answers.

    At most `at_once` calls are under way, and fifteen times as many wait for their turn. Further calls stay in the
    store until a sweep has room for them. During the `lease` only this process makes a call that it began. After the
    lease any process makes the call again.
    """

    def __init__(
        self,
        steps: Steps,
        gateway: PaymentGateway,
        *,
        at_once: int,
        lease: timedelta,
        seconds: Callable[[], float] = time.monotonic,
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

    def reserve(self) -> Lease | None:
        """Reserve room for one call, and return the lease of that call. None means that there is no room.

        The caller uses the room by `call`, or gives it back by `release`."""
        if self._stopping or self._room <= 0:
            return None
        self._room -= 1
        return self._new_lease()

    def release(self) -> None:
        """Give back what was reserved."""
        self._room += 1

    def call(self, payment: Payment, lease: Lease) -> None:
        """Make the payment's next call in the background, in the room that was reserved for it."""
        task = asyncio.create_task(self._call_until_done(payment, lease))
        self._at_hand.add(task)
        task.add_done_callback(self._done)

    async def sweep(self) -> None:
        """Make the calls that are due, because they had no room, failed, or were interrupted by a crash."""
        if self._stopping or self._room <= 0:
            return
        # Commands may reserve room during this await. Then there are more calls than room for a moment.
        lease = self._new_lease()
        for payment in await self._steps.payments.claim_due(self._room, lease.length):
            self._room -= 1
            self.call(payment, lease)

    def finish_soon(self) -> None:
        """Start the time that the current calls have left. The process calls this when it is told to end, so that the
        calls and the requests in flight are waited for together."""
        if self._finish_by is None:
            self._finish_by = time.monotonic() + _FINISH_WITHIN

    async def close(self) -> None:
        """Begin no new call, and wait for the current ones until 1.5 seconds after `finish_soon`. A sweep makes the
        unfinished ones again."""
        self._stopping = True
        self.finish_soon()
        if self._at_hand and self._finish_by is not None:
            _, hanging = await asyncio.wait(self._at_hand, timeout=max(0.0, self._finish_by - time.monotonic()))
            for task in hanging:
                task.cancel()
            if hanging:
                await asyncio.wait(hanging, timeout=_FINISH_WITHIN)

    def _new_lease(self) -> Lease:
        return Lease(self._lease, self._seconds, self._seconds())

    def _done(self, task: asyncio.Task[None]) -> None:
        self._at_hand.discard(task)
        self.release()
        if task.cancelled() and not self._stopping:
            log.warning("a call was cut off, and will be made again")

    async def _call_until_done(self, payment: Payment, lease: Lease) -> None:
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

    async def _call(self, payment: Payment, lease: Lease) -> tuple[Step | None, Lease]:
        """Return the step that the call led to, and the lease of the next call."""
        async with self._turn:
            if self._stopping or lease.is_over:
                return None, lease  # a sweep makes the call
            record_answer = await self._ask(payment)
        next_lease = self._new_lease()
        step = await self._steps.take(
            payment.order_id,
            lambda current, moment: record_answer(current, moment) if current else None,
            lease=next_lease.length,
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


@dataclass(frozen=True, slots=True)
class TakeCommands:
    """Record the commands, once for each claim. The call is made in the background, so a slow gateway does not delay
    commands."""

    steps: Steps
    cashier: Cashier

    async def charge(self, order_id: UUID, amount: Money, claim: InboxClaim) -> None:
        """Charge the order. Raises AmountChanged, InvalidPayment."""

        def decide(payment: Payment | None, moment: Moment) -> Step | None:
            return payment.charge(amount, moment) if payment else Payment.intent(order_id, amount, moment)

        await self._take(order_id, decide, claim)

    async def refund(self, order_id: UUID, claim: InboxClaim) -> None:
        """Refund what was charged or may have been charged, and refuse a charge that comes later."""

        def decide(payment: Payment | None, moment: Moment) -> Step | None:
            return payment.refund(moment) if payment else Payment.tombstone(order_id, moment)

        await self._take(order_id, decide, claim)

    async def _take(self, order_id: UUID, decide: Decide, claim: InboxClaim) -> None:
        lease = self.cashier.reserve()
        step = None
        try:
            step = await self.steps.take(order_id, decide, lease=lease.length if lease else None, claim=claim)
        finally:
            if lease is not None and step is not None and step.call:
                self.cashier.call(step.payment, lease)
            elif lease is not None:
                self.cashier.release()


@dataclass(frozen=True, slots=True)
class FindPayment:
    """Read a payment."""

    payments: PaymentStore

    async def __call__(self, order_id: UUID) -> Payment:
        """The payment as last committed. Raises PaymentNotFound."""
        payment = await self.payments.find(order_id)
        if payment is None:
            raise PaymentNotFound(order_id)
        return payment
