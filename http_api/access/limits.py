"""What one caller may ask of a process: requests a second, and requests at once.

The rate is kept by GCRA, the cell rate algorithm of ATM networks: for each caller one time, at which its bucket is
empty again. Requests at once bound everything that a request holds: a place in the commit queue, a session, a
`Prefer: wait`. So one caller cannot take all of it from the others.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

MOST_CALLERS = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """`per_second` requests, in bursts of at most as many, and `at_once` at the same time. The rate is that of one
    process: the caller's, divided by the processes that share the load."""

    per_second: float
    at_once: int

    @property
    def policy(self) -> bytes:
        """The header RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers)."""
        return b'"default";q=%d;w=1' % self.burst

    @property
    def burst(self) -> int:
        """How many requests may come together after a pause."""
        return max(1, math.floor(self.per_second))


class Allowed(NamedTuple):
    """The request may go on. `left` more may follow at once, and `full_in` seconds bring back the whole burst."""

    left: int
    full_in: float


@dataclass(frozen=True, slots=True)
class TooMany:
    """The request must wait. `again_in` seconds bring room for it, if the caller asks for nothing else meanwhile. The
    sentence says what there is too much of."""

    again_in: float
    sentence: str


class RateLimit:
    """The use that callers make of a process. Those who were not seen for longest are forgotten, and begin anew."""

    def __init__(self, limits: Limits, seconds: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._seconds = seconds
        self._interval = 1 / limits.per_second
        self._tolerance = (limits.burst - 1) * self._interval
        self._empty_at: dict[str, float] = {}
        self._running: dict[str, int] = {}

    def begin(self, caller: str) -> Allowed | TooMany:
        """A request of the caller comes. If it is allowed, `end` must follow."""
        running = self._running.get(caller, 0)
        if running >= self.limits.at_once:
            return TooMany(1.0, f"at most {self.limits.at_once} requests of one caller are handled at once")
        now = self._seconds()
        empty_at = max(self._empty_at.pop(caller, now), now)
        ahead = empty_at - now
        if ahead > self._tolerance + 1e-9:
            self._empty_at[caller] = empty_at
            per_second = f"{self.limits.per_second:g}"
            return TooMany(ahead - self._tolerance, f"at most {per_second} requests a second of one caller are handled")
        if len(self._empty_at) >= MOST_CALLERS:
            del self._empty_at[next(iter(self._empty_at))]
        self._empty_at[caller] = empty_at + self._interval
        self._running[caller] = running + 1
        left = math.floor((self._tolerance - ahead) / self._interval + 1e-9)
        return Allowed(left, ahead + self._interval)

    def end(self, caller: str) -> None:
        """A request that was allowed has ended."""
        running = self._running.pop(caller) - 1
        if running:
            self._running[caller] = running
