"""The ports of the payment service: its store and the gateway."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias
from uuid import UUID

from messaging.ports.changes import Write, Written
from payment_service.domain.lease import Lease
from payment_service.domain.payment import Payment, Step
from shared_kernel.money import Money

Clock: TypeAlias = Callable[[], datetime]
"""The time now, aware and in UTC."""

NewId: TypeAlias = Callable[[], UUID]
"""A fresh UUIDv7."""

PaymentWrite: TypeAlias = Write[Payment, Step]


class PaymentStore(Protocol):
    """The store of payments. The time when a call is due is set and compared by the clock of the store, which all
    instances share. Every method raises StoreUnavailable when the store does not answer."""

    async def write(self, write: PaymentWrite) -> Written[Payment, Step]:
        """Store the next or the first step of a payment. Raises the decision's exceptions, and StoreOverloaded."""
        ...

    async def find(self, order_id: UUID) -> Payment | None:
        """The payment as last committed."""
        ...

    async def claim_due(self, limit: int, lease: Lease) -> Sequence[Payment]:
        """Payments whose call is due, the longest due first, each with that call begun (`Payment.claimed`). No two
        callers get the same one."""
        ...

    async def claim_inherited(self, limit: int, lease: Lease) -> Sequence[Payment]:
        """The same of payments whose call is leased to an earlier process of the same place, which is dead."""
        ...


class GatewayUnavailable(Exception):
    """The result of the call is unknown: money may have moved, or not. The same call with the same key will tell. The
    gateway may have asked that it is not made before `retry_after` has passed."""

    def __init__(self, problem: str, retry_after: timedelta | None = None) -> None:
        super().__init__(problem)
        self.retry_after = retry_after or timedelta()


@dataclass(frozen=True, slots=True)
class Captured:
    """The gateway took the money. `reference` is its name for the charge."""

    reference: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The gateway did not take the money, and never will with this key."""

    reason: str


TRIES_TAKE = 2
"""All tries of a call at the gateway together take at most so many times the time for one."""


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
