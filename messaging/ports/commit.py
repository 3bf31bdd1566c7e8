"""Decide, then commit: the loop that HTTP and consumers share, and that carries the reliability argument.

A decision is pure, so it can be made again. When another version won, the aggregate is loaded and decided upon once
more; what was decided on stale state never reaches the disk, because the store compares versions as it commits.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from messaging.ports.changes import Aggregate, Changes, CommitResult, Committed, Conflict, Duplicate, Outgoing

ATTEMPTS = 8

Loaded = TypeVar("Loaded")


class Contention(Exception):
    """The aggregate changed under every one of the attempts; nothing was stored."""


async def decide_then_commit(
    load: Callable[[], Awaitable[Loaded]],
    decide: Callable[[Loaded], Changes[Aggregate, Outgoing] | None],
    commit: Callable[[Changes[Aggregate, Outgoing]], Awaitable[CommitResult]],
) -> Aggregate | Loaded:
    """Answer the aggregate as it stands afterwards. `load` may answer None for one that is not there yet, and `decide`
    says None when there is nothing to change.

    Raises what `load`, `decide` and `commit` raise, and Contention after eight lost races.
    """
    for _ in range(ATTEMPTS):
        current = await load()
        changes = decide(current)
        if changes is None:
            return current
        match await commit(changes):
            case Committed():
                return changes.aggregate
            case Duplicate():
                return await load()
            case Conflict():
                continue
    raise Contention("it is being changed by others at the same time; try again")
