"""Work in the background of a service, for as long as the service runs. None of it ends unnoticed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

_GONE_WITHIN = 8.0  # longer than a Kafka client takes to give up

log = structlog.get_logger("background")


class WorkEnded(Exception):
    """Work that was to last has ended by itself. The text says which work, and how it ended."""


@asynccontextmanager
async def running(works: Mapping[str, Coroutine[Any, Any, object]]) -> AsyncIterator[None]:
    """Run each of the works as a task of that name while this lasts; then cancel them and wait until they are gone.

    Work that ends earlier ends this, too, whether it returned, raised or was cancelled by somebody: the body is
    cancelled as by asyncio.timeout, and WorkEnded is raised. So nobody goes on without the work that he relies on.
    """
    owner = asyncio.current_task()
    if owner is None:
        raise RuntimeError("background work needs a task that it belongs to")
    tasks = [asyncio.create_task(work, name=name) for name, work in works.items()]
    cancelled_before = owner.cancelling()
    watching, ended = True, None

    def notice(task: asyncio.Task[object]) -> None:
        nonlocal ended
        if watching and ended is None:
            ended = how_it_ended(task)
            owner.cancel(str(ended))

    for task in tasks:
        task.add_done_callback(notice)
    try:
        yield
    finally:
        watching = False
        try:
            await _cancel(tasks)
        finally:
            if ended is not None and owner.uncancel() <= cancelled_before:
                raise ended


def how_it_ended(task: asyncio.Task[object]) -> WorkEnded:
    """What to raise for a task that has ended and should not have. The innermost work is the one that is named."""
    if task.cancelled():
        return WorkEnded(f"{task.get_name()} was cancelled")
    error = task.exception()
    if isinstance(error, WorkEnded):
        return error
    ended = WorkEnded(f"{task.get_name()} ended" + (f": {type(error).__name__}: {error}" if error else ""))
    ended.__cause__ = error
    return ended


async def every(seconds: float, action: Callable[[], Awaitable[object]], name: str) -> None:
    """Do `action` at once and then again and again, `seconds` after it was last done. One that fails is logged and done
    again: what it looks after is in the database, and will be there the next time."""
    while True:
        try:
            await action()
        except Exception as error:  # noqa: BLE001  whatever it is: said, and tried again
            log.warning("failed, and will be tried again", work=name, error=f"{type(error).__name__}: {error}")
        await asyncio.sleep(seconds)


async def _cancel(tasks: list[asyncio.Task[object]]) -> None:
    """Return when they are gone, or do not go. What they raise on the way out has nobody left to act on it."""
    for task in tasks:
        task.cancel()
    gone, hanging = await asyncio.wait(tasks, timeout=_GONE_WITHIN)
    for task in gone:
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, WorkEnded):
            log.warning("did not stop in order", work=task.get_name(), error=f"{type(error).__name__}: {error}")
    for task in hanging:
        log.error("does not stop", work=task.get_name())
