"""The Failures port: where a service keeps the records that it could not handle.

There are three places for a record: handled, parked behind its key's failing head, or in the dead letters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from messaging.ports.record import Record


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that was not handled, why, and how often it was tried."""

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
    """Where a service keeps what it could not handle. Every method raises StoreUnavailable."""

    async def parked_among(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that have something parked."""
        ...

    async def park(self, failures: Sequence[Failure]) -> None:
        """Keep records of one key behind each other, in this order. One that is parked already stays where it is."""
        ...

    async def bury(self, failure: Failure, parked_id: int | None = None) -> None:
        """Keep a record as a dead letter, and no longer as parked. One that is there already stays."""
        ...

    async def due(self, limit: int) -> Sequence[str]:
        """Keys whose oldest parked record is to be tried again by now."""
        ...

    async def oldest_of(self, key: str) -> Parked | None:
        """The key's oldest parked record."""
        ...

    async def postpone(self, parked_id: int, error: str, seconds: float) -> None:
        """It failed once more: try it again in so many seconds."""
        ...

    async def forget(self, parked_id: int) -> None:
        """It was handled."""
        ...
