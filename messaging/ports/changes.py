"""What a use case decided, as a value, and what became of it. Nothing here does I/O."""

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar
from uuid import UUID

Aggregate = TypeVar("Aggregate")
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
class Changes(Generic[Aggregate, Outgoing]):
    """One aggregate's new state, the events and commands that go out with it, and the claim that makes it happen once.

    `expected_version` is the stored version that the decision was made on; 0 says that the aggregate is new.
    """

    aggregate: Aggregate
    expected_version: int
    outgoing: tuple[Outgoing, ...]
    claim: IdempotencyKey | InboxClaim | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """The changes and their messages are on disk."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The claim was taken before: of an idempotency key, `first` is the aggregate that it made and `request_hash` the
    request; of an event, `first` is the aggregate that it concerns."""

    first: UUID
    request_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another version won; nothing of these changes was stored."""


CommitResult: TypeAlias = Committed | Duplicate | Conflict


class StoreUnavailable(Exception):
    """The store did not answer. What was being committed may or may not be stored; a claim makes asking again safe."""


class StoreBusy(StoreUnavailable):
    """Other transactions were in the way. Nothing was stored, and the same may be done again at once."""


class StoreUnfit(StoreUnavailable):
    """The store lacks what this release needs: tables, columns or permissions. Nothing was stored, and nothing will be
    until an operator acts. It is no fault of what was asked."""


class StoreOverloaded(Exception):
    """Too many writes wait already; this one was not taken and nothing of it is stored."""
