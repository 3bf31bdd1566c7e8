"""Waiting for what only asking again can tell."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[bool]], what: str, *, within: float, every: float = 0.02) -> None:
    """Ask every so many seconds. Raises TimeoutError that says `what` did not come."""
    try:
        async with asyncio.timeout(within):
            while not await condition():  # noqa: ASYNC110  another process makes it true: there is no event to wait for
                await asyncio.sleep(every)
    except TimeoutError:
        raise TimeoutError(f"waited {within:.0f} s until {what}") from None
