"""What keeps the event loop busy shows as its lag."""

import asyncio
import time

import pytest
from prometheus_client import REGISTRY

from messaging.engine.loop_lag import loop_lag_measured
from tests.real_parts.waiting import DEADLINE


def _lag(name: str) -> float:
    return REGISTRY.get_sample_value(f"oms_event_loop_lag_seconds_{name}") or 0.0


async def test_a_blocked_event_loop_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("messaging.engine.loop_lag._MEASURE_EVERY", 0.01)
    before, count = _lag("sum"), _lag("count")
    async with asyncio.timeout(DEADLINE), loop_lag_measured():
        await asyncio.sleep(0)  # it has begun to measure
        time.sleep(0.3)
        while _lag("count") == count:
            await asyncio.sleep(0.001)

    assert _lag("sum") - before > 0.25
