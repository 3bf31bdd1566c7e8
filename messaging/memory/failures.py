"""Parked records and dead letters in memory: the contract of PostgreSQL, but nothing survives the process."""

import asyncio
import itertools
from collections.abc import Sequence

from messaging.ports.failures import Failure, Parked

_FIRST_PAUSE = 1.0


class MemoryFailures:
    """See `Failures`."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._waiting: dict[int, Failure] = {}
        self._due_at: dict[int, float] = {}
        self.dead: list[Failure] = []

    async def parked_among(self, keys: Sequence[str]) -> set[str]:
        """See Failures."""
        return set(keys) & {failure.record.key for failure in self._waiting.values()}

    async def park(self, failures: Sequence[Failure]) -> None:
        """See Failures."""
        there = {_place(failure) for failure in self._waiting.values()}
        for failure in failures:
            if _place(failure) not in there:
                parked_id = next(self._ids)
                self._waiting[parked_id] = failure
                self._due_at[parked_id] = asyncio.get_running_loop().time() + _FIRST_PAUSE

    async def bury(self, failure: Failure, parked_id: int | None = None) -> None:
        """See Failures."""
        if _place(failure) not in {_place(dead) for dead in self.dead}:
            self.dead.append(failure)
        if parked_id is not None:
            await self.forget(parked_id)

    async def due(self, limit: int) -> Sequence[str]:
        """See Failures."""
        oldest: dict[str, int] = {}
        for parked_id, failure in self._waiting.items():
            oldest.setdefault(failure.record.key, parked_id)
        now = asyncio.get_running_loop().time()
        return [key for key, parked_id in oldest.items() if self._due_at[parked_id] <= now][:limit]

    async def oldest_of(self, key: str) -> Parked | None:
        """See Failures."""
        for parked_id, failure in self._waiting.items():
            if failure.record.key == key:
                return Parked(parked_id, failure.record, failure.attempts)
        return None

    async def postpone(self, parked_id: int, error: str, seconds: float) -> None:
        """See Failures."""
        if failure := self._waiting.get(parked_id):
            self._waiting[parked_id] = Failure(failure.record, error, failure.attempts + 1)
            self._due_at[parked_id] = asyncio.get_running_loop().time() + seconds

    async def forget(self, parked_id: int) -> None:
        """See Failures."""
        self._waiting.pop(parked_id, None)
        self._due_at.pop(parked_id, None)

    async def counts(self) -> tuple[int, float, int]:
        """How many records are parked, the age of the oldest in seconds (not kept here), and how many are dead."""
        return len(self._waiting), 0.0, len(self.dead)


def _place(failure: Failure) -> tuple[str, int, int, bytes]:
    record = failure.record
    return record.topic, record.partition, record.offset, record.value
