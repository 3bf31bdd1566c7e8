"""Retrying actions that lost to other transactions."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from messaging.ports.changes import StoreBusy

Answer = TypeVar("Answer")

TIMES = 5
_LONGEST_PAUSE = 0.02


async def retry_when_busy(action: Callable[[], Awaitable[Answer]]) -> Answer:
    """Do `action`, and do it again when it raises StoreBusy, at most five times in all. Then StoreBusy is raised."""
    for attempt in range(1, TIMES + 1):
        try:
            return await action()
        except StoreBusy:
            if attempt == TIMES:
                raise
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE * attempt))  # noqa: S311  jitter, not a secret
    raise AssertionError("unreachable")
