"""Distinguishing a failure of the whole service from failures of single keys, and waiting while the service fails."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import structlog

from messaging.engine.metrics import WAITING
from messaging.ports.changes import StoreOverloaded, StoreUnavailable

ALIKE = 3
_PAUSES_GROW_TO = 10  # times the first one

Answer = TypeVar("Answer")

log = structlog.get_logger("consumer")


def growing_pauses(first: float) -> Iterator[float]:
    """Seconds to wait, with jitter. They grow from `first` up to ten times as many."""
    longest = first
    while True:
        yield random.uniform(0.1, 1) * longest  # noqa: S311  jitter, not a secret
        longest = min(longest * 2, first * _PAUSES_GROW_TO)


class Breaker:
    """Closed while the store works. While it is open, one probe at a time tries the store after growing pauses, and all
    other calls wait for the probe."""

    def __init__(self, service: str, *, pause: float) -> None:
        self._first_pause = pause
        self._pauses = growing_pauses(pause)
        self._probing = asyncio.Lock()
        self._is_open = False
        self._doubts = 0
        WAITING.labels(service).set_function(lambda: self.is_waiting)

    @property
    def is_waiting(self) -> bool:
        """True while records wait because the whole service fails."""
        return self._is_open or self._doubts > 0

    async def call(self, action: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the result of `action`. If the store is away, overloaded or unfit, wait and call it again."""
        while True:
            try:
                if not self._is_open:
                    return await action()
                async with self._probing:
                    if self._is_open:
                        return await self._probe(action)
            except (StoreUnavailable, StoreOverloaded) as error:
                self._is_open = True
                log.warning("waiting for the store", error=str(error))

    @contextmanager
    def doubting(self) -> Iterator[Iterator[float]]:
        """Count as waiting during the block, which tries the service again after the pauses that it is given."""
        self._doubts += 1
        try:
            yield growing_pauses(self._first_pause)
        finally:
            self._doubts -= 1

    async def _probe(self, action: Callable[[], Awaitable[Answer]]) -> Answer:
        await asyncio.sleep(next(self._pauses))
        answer = await action()
        self._is_open = False
        self._pauses = growing_pauses(self._first_pause)
        log.info("the store is back")
        return answer


class Suspicion:
    """Suspects the service after three different keys failed alike in a row and none succeeded."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._kind: type[Exception] | None = None

    def may_fall_on_the_service(self, keys: Iterable[str]) -> bool:
        """True when the service would be suspected if all these keys failed alike."""
        return len(self._keys.union(keys)) >= ALIKE

    def falls_on_the_service(self, failed: Sequence[tuple[str, Exception]], *, some_went_well: bool) -> bool:
        """Note the keys that failed at the same time, and return whether the service is suspected now."""
        for key, error in failed:
            if type(error) is not self._kind:
                self.clear()
                self._kind = type(error)
            self._keys.add(key)
        if some_went_well or len({type(error) for _, error in failed}) > 1:
            self.clear()
        return len(self._keys) >= ALIKE

    def clear(self) -> None:
        """Suspect the service no longer."""
        self._keys.clear()
