"""Gauges whose values are in the database."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from prometheus_client import Gauge

from messaging.ports.changes import StoreUnavailable

_READ_WITHIN = 1.0  # when the database hangs, the other metrics must not wait for it


async def set_gauges(gauges: Sequence[Gauge], read: Callable[[], Awaitable[Sequence[float]]]) -> None:
    """Set each gauge to its value. They are NaN when the database is away or does not answer within a second."""
    values: Sequence[float] = [math.nan] * len(gauges)
    with suppress(StoreUnavailable, TimeoutError):
        async with asyncio.timeout(_READ_WITHIN):
            values = await read()
    for gauge, value in zip(gauges, values, strict=True):
        gauge.set(value)
