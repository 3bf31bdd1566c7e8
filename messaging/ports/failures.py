"""The Failures port: where a service keeps the records that it could not handle.

A record is handled, or parked behind the failing record of its key, or in the dead letters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from messaging.ports.record import Record


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that was not handled, the reason, and how often it was tried."""

    record: Record
    error: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Parked:
    """The oldest record of a parked key; `id` is where it is kept."""

    id: int
    record: Record
    attempts: int


class Failures(Protocol):
    """The records that a service could not handle. Every method raises StoreUnavailable."""

    async def parked_among(self, keys: Sequence[str]) -> set[str]:
        """The keys, of those given, that have parked records."""
        ...

    async def park(self, failures: Sequence[Failure]) -> None:
        """Park records of one key behind each other, in this order. A record that is parked already keeps its place."""
        ...

    async def bury(self, failure: Failure, parked_id: int | None = None) -> None:
        """Move a record to the dead letters. A record that is a dead letter already stays one."""
        ...

    async def due(self, limit: int) -> Sequence[str]:
        """At most `limit` keys whose oldest parked record may be tried again now."""
        ...

    async def oldest_of(self, key: str) -> Parked | None:
        """The key's oldest parked record."""
        ...

    async def postpone(self, parked_id: int, error: str, seconds: float) -> None:
        """Count one more failed attempt, and try the record again after so many seconds."""
        ...

    async def forget(self, parked_id: int) -> None:
        """Remove a record that was handled."""
        ...
