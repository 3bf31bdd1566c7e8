"""The decision of a use case as a value, and the result of storing it. Nothing here does I/O."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from messaging.ports.audit import AuditEntry
from messaging.ports.trace_context import TRACE, TraceContext

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
    """The claim of a message: the event `event_id` has its effect on this service once, also when it comes again."""

    event_id: UUID


@dataclass(frozen=True, slots=True)
class Creation(Generic[Aggregate, Outgoing]):
    """A new aggregate, the events and commands that go out with it, and the claim that makes it happen once. It belongs
    to the trace in which it was asked for."""

    aggregate: Aggregate
    outgoing: tuple[Outgoing, ...]
    claim: IdempotencyKey | None = None
    trace: TraceContext | None = field(default_factory=TRACE.get, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Created:
    """The aggregate and its messages are on disk."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The key was used before. `first` is the aggregate that was made with it, and `request_hash` is its request's."""

    first: UUID
    request_hash: bytes


class IdTaken(Exception):
    """Another aggregate already has this id. Nothing was stored."""


@dataclass(frozen=True, slots=True)
class Write(Generic[Aggregate, Decision]):
    """A decision that is made and stored in one step, while nobody else can change the aggregate `id`.

    `decide` gets the stored aggregate, or None when there is none yet. It returns None when there is nothing to change.
    It must be pure, because the store may call it again. If it raises, the writer gets the exception and nothing is
    stored. `audit` is stored together with a decision. The write belongs to the trace in which it was asked for.
    """

    id: UUID
    decide: Callable[[Aggregate | None], Decision | None]
    claim: InboxClaim | None = None
    trace: TraceContext | None = field(default_factory=TRACE.get, compare=False, repr=False)
    audit: AuditEntry | None = None


@dataclass(frozen=True, slots=True)
class Written(Generic[Aggregate, Decision]):
    """The aggregate as it is after a write, and the decision that was stored with its messages and its claim.

    `decision` is None when nothing was stored, because there was nothing to change or the claim was taken before.
    """

    aggregate: Aggregate | None
    decision: Decision | None


class StoreUnavailable(Exception):
    """The store did not answer. The write may or may not be stored. A claim makes it safe to write again."""


class StoreBusy(StoreUnavailable):
    """Other transactions were in the way. Nothing was stored, and the same may be tried again at once."""


class StoreUnfit(StoreUnavailable):
    """The store lacks tables, columns or permissions that this release needs. Nothing was stored, and nothing will be
    stored until an operator acts. The request is not at fault."""


class StoreOverloaded(Exception):
    """Too many writes wait already. This one was refused, and nothing of it is stored."""
