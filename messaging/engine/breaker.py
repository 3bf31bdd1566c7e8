"""Telling a service that fails from a key that fails, and waiting while it is the service."""

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
    """Seconds to wait, with jitter: from the first ones up to ten times as many."""
    longest = first
    while True:
        yield random.uniform(0.1, 1) * longest  # noqa: S311  jitter, not a secret
        longest = min(longest * 2, first * _PAUSES_GROW_TO)


class Breaker:
    """Closed while the store does what it is asked. While it is open one probe at a time finds out whether it does so
    again, after pauses that grow, and everything else waits for that."""

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
        """What `action` answers. A store that is away, overloaded or not fit is nobody's failure: ask again."""
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
        """While this lasts somebody doubts that the service works, and tries again after these pauses."""
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
    """Whether it is the service that fails: three different keys did, in a row and alike, and none went well."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._kind: type[Exception] | None = None

    def may_fall_on_the_service(self, keys: Iterable[str]) -> bool:
        """True when the service would be suspected if all of these failed alike."""
        return len(self._keys.union(keys)) >= ALIKE

    def falls_on_the_service(self, failed: Sequence[tuple[str, Exception]], *, some_went_well: bool) -> bool:
        """Take note of keys that failed at the same time, and say whether it is the service by now."""
        for key, error in failed:
            if type(error) is not self._kind:
                self.clear()
                self._kind = type(error)
            self._keys.add(key)
        if some_went_well or len({type(error) for _, error in failed}) > 1:
            self.clear()
        return len(self._keys) >= ALIKE

    def clear(self) -> None:
        """Nobody is suspected any more."""
        self._keys.clear()
