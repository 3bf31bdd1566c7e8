"""Work in the background of a service, for as long as the service runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

log = structlog.get_logger("background")


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` as a task while this lasts; then cancel it and wait until it is gone."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def every(seconds: float, action: Callable[[], Awaitable[object]], name: str) -> None:
    """Do `action` again and again, `seconds` after it was last done. One that fails is logged and done again: what it
    looks after is in the database, and will be there the next time."""
    while True:
        try:
            await action()
        except Exception as error:  # noqa: BLE001  whatever it is: said, and tried again
            log.warning("failed, and will be tried again", work=name, error=f"{type(error).__name__}: {error}")
        await asyncio.sleep(seconds)
