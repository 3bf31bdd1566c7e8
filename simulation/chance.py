"""Clocks, ids and chance of a simulation: all of them come from the loop and from the seed."""

import os
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, NoReturn
from unittest.mock import patch
from uuid import UUID

from simulation.event_loop import MACHINE, SimulatedLoop

BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""The time at which every simulation begins, in seconds since 1970."""


class Chance:
    """The clocks of the machines, and the ids that they make."""

    def __init__(self, loop: SimulatedLoop, rng: Random) -> None:
        self._loop = loop
        self._rng = rng
        self._last = 0

    def seconds(self) -> float:
        """The time of the machine whose code runs, in seconds since 1970."""
        return BEGINNING + self._loop.time() + MACHINE.get().clock_offset

    def now(self) -> datetime:
        """The same as an aware time in UTC."""
        return datetime.fromtimestamp(self.seconds(), UTC)

    def uuid7(self) -> UUID:
        """A UUIDv7 by the clock of this machine. Its random bits come from the seed."""
        milliseconds = int(self.seconds() * 1000)
        return UUID(int=milliseconds << 80 | 7 << 76 | self._rng.getrandbits(12) << 64 | 2 << 62 | self._bits(62))

    def uuid4(self) -> UUID:
        """A UUIDv4 from the seed."""
        return UUID(int=self._bits(128), version=4)

    def _bits(self, count: int) -> int:
        return self._rng.getrandbits(count)


@contextmanager
def nothing_else(loop: SimulatedLoop, chance: Chance, seed: str) -> Iterator[None]:
    """Within the block all clocks are the loop's, and the chances of `random` those of the seed. What would bring in
    other chances raises AssertionError."""
    before = random.getstate()
    random.seed(seed)
    with ExitStack() as stack:
        for name, clock in {
            "monotonic": loop.time,
            "perf_counter": loop.time,
            "time": chance.seconds,
            "time_ns": lambda: int(chance.seconds() * 1e9),
            "monotonic_ns": lambda: int(loop.time() * 1e9),
            "sleep": _forbidden("time.sleep"),
        }.items():
            stack.enter_context(patch.object(time, name, clock))
        stack.enter_context(patch.object(os, "urandom", _forbidden("os.urandom")))
        for name in ("uuid1", "uuid4"):
            stack.enter_context(patch.object(uuid, name, _forbidden(f"uuid.{name}")))
        try:
            yield
        finally:
            random.setstate(before)


def _forbidden(name: str) -> Any:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError(f"{name} was called, and the seed decides nothing of it")

    return refuse
