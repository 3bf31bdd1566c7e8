"""Waiting for a condition that only asking can tell."""

import asyncio
from collections.abc import Awaitable, Callable

DEADLINE = 120.0
"""Seconds after which what a test waits for counts as what never comes, however busy the machine is."""


async def until(condition: Callable[[], Awaitable[bool]], what: str, within: float = DEADLINE) -> None:
    """Return once the condition holds; when it never does, say what was waited for."""
    try:
        async with asyncio.timeout(within):
            while not await condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"it never came about that {what}") from None
