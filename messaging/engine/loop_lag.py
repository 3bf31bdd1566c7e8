"""The lag of the event loop: how much later than it is due a callback runs. All work of a process shares the loop."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager

from messaging.engine.background import running
from messaging.engine.metrics import LOOP_LAG

_MEASURE_EVERY = 0.25


def loop_lag_measured() -> AbstractAsyncContextManager[None]:
    """Measure during the block, four times a second."""
    return running({"the measuring of the event loop": _measure()})


async def _measure() -> None:
    while True:
        due = time.perf_counter() + _MEASURE_EVERY
        await asyncio.sleep(_MEASURE_EVERY)
        LOOP_LAG.observe(max(0.0, time.perf_counter() - due))
