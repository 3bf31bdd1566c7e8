"""What a use case decides, as a value, and what became of it. Nothing here does I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

Aggregate = TypeVar("Aggregate")
Decision = TypeVar("Decision")
Outgoing = TypeVar("Outgoing")


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The claim of a request: `caller` may use `key` once, for the request whose SHA-256 is `request_hash`."""

    caller: str
    key: str
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class InboxClaim:
    """The claim of a message: the event `event_id` has its effect on this service once, however often it comes."""

    event_id: UUID


@dataclass(frozen=True, slots=True)
class Creation(Generic[Aggregate, Outgoing]):
    """A new aggregate, the events and commands that go out with it, and the claim that makes it happen once."""

    aggregate: Aggregate
    outgoing: tuple[Outgoing, ...]
    claim: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """The aggregate and its messages are on disk."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The key was used before: `first` is the aggregate that it made, and `request_hash` is of the request."""

    first: UUID
    request_hash: bytes


class IdTaken(Exception):
    """Another aggregate has the id of this new one; nothing was stored."""


@dataclass(frozen=True, slots=True)
class Write(Generic[Aggregate, Decision]):
    """A decision that is made and stored in one step, while nobody else can change the aggregate `id`.

    `decide` is given the aggregate as it is, or None when it is not there yet, and answers None when there is nothing
    to change. It is pure: the store may call it again. What it raises is raised to the writer, and nothing is stored.
    """

    id: UUID
    decide: Callable[[Aggregate | None], Decision | None]
    claim: InboxClaim | None = None


@dataclass(frozen=True, slots=True)
class Written(Generic[Aggregate, Decision]):
    """The aggregate as it stands after a write, and the decision that was stored with its messages and its claim.

    `decision` is None when nothing was stored: there was nothing to change, or the claim was taken before.
    """

    aggregate: Aggregate | None
    decision: Decision | None


class StoreUnavailable(Exception):
    """The store did not answer. What was being committed may or may not be stored; a claim makes asking again safe."""


class StoreBusy(StoreUnavailable):
    """Other transactions were in the way. Nothing was stored, and the same may be done again at once."""


class StoreUnfit(StoreUnavailable):
    """The store lacks what this release needs: tables, columns or permissions. Nothing was stored, and nothing will be
    until an operator acts. It is no fault of what was asked."""


class StoreOverloaded(Exception):
    """Too many writes wait already; this one was not taken and nothing of it is stored."""
