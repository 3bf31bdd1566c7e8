"""What lost to other transactions is done again."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from messaging.ports.changes import StoreBusy

Answer = TypeVar("Answer")

TIMES = 5
_LONGEST_PAUSE = 0.02


async def retry_when_busy(action: Callable[[], Awaitable[Answer]]) -> Answer:
    """Do `action`, and once more each time that it raises StoreBusy, five times in all. Raises StoreBusy after that."""
    for attempt in range(1, TIMES + 1):
        try:
            return await action()
        except StoreBusy:
            if attempt == TIMES:
                raise
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE * attempt))  # noqa: S311  jitter, not a secret
    raise AssertionError("unreachable")
