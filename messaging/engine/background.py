"""Background work of a service. It runs as long as the service does, and never ends unnoticed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

_GONE_WITHIN = 8.0  # longer than a Kafka client needs to give up

log = structlog.get_logger("background")


class WorkEnded(Exception):
    """Background work has ended by itself. The text says which work, and how it ended."""


@asynccontextmanager
async def running(works: Mapping[str, Coroutine[Any, Any, object]]) -> AsyncIterator[None]:
    """Run each of the works as a task of that name during the block. Then cancel the tasks and wait until they are
    gone.

    If a task ends earlier, because it returned, raised or was cancelled, the block is cancelled as by asyncio.timeout
    and WorkEnded is raised. So the block never goes on without the work that it relies on.
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
    """The exception for a task that has ended too early. It names the innermost work."""
    if task.cancelled():
        return WorkEnded(f"{task.get_name()} was cancelled")
    error = task.exception()
    if isinstance(error, WorkEnded):
        return error
    ended = WorkEnded(f"{task.get_name()} ended" + (f": {type(error).__name__}: {error}" if error else ""))
    ended.__cause__ = error
    return ended


async def every(seconds: float, action: Callable[[], Awaitable[object]], name: str) -> None:
    """Do `action` at once, and repeat it `seconds` after each end. A failure is logged and the action is repeated,
    because its work lies in the database and is still there the next time."""
    while True:
        try:
            await action()
        except Exception as error:  # noqa: BLE001  any failure is logged and tried again
            log.warning("failed, and will be tried again", work=name, error=f"{type(error).__name__}: {error}")
        await asyncio.sleep(seconds)


async def _cancel(tasks: list[asyncio.Task[object]]) -> None:
    """Cancel the tasks, and return when they are gone or eight seconds have passed. Their exceptions are only
    logged."""
    hanging = set(tasks)
    # A library can lose a cancellation, as asyncio.wait_for does when its work ends at that moment. So it comes twice.
    for _ in range(2):
        for task in hanging:
            task.cancel()
        _, hanging = await asyncio.wait(hanging, timeout=_GONE_WITHIN / 2)
        if not hanging:
            break
    for task in set(tasks) - hanging:
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, WorkEnded):
            log.warning("did not stop in order", work=task.get_name(), error=f"{type(error).__name__}: {error}")
    for task in hanging:
        log.error("does not stop", work=task.get_name())
