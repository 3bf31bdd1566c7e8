"""Two cells on one machine against one: each has a core, and nothing of its own on the other one.

A cell is its PostgreSQL, its broker, its three services and its client, all on its core. The two share the disk, the
caches and the memory of the machine. How much a second core gives at all is measured beside them, with a process that
only counts.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from benchmarks.cell import READY
from benchmarks.environment import Environment
from benchmarks.table import Aim, Figure, Samples

_STARTS_WITHIN = 180.0
_ANSWERS_WITHIN = 120.0
_COUNT = """
import os, time
os.sched_setaffinity(0, {%d})
until, counted = time.monotonic() + 1, 0
while time.monotonic() < until: counted += 1
print(counted)
"""


async def measure(environment: Environment) -> list[Figure]:
    """One cell, and both, in turns. Which one is alone rotates."""
    if not hasattr(os, "sched_setaffinity") or len(cores := sorted(os.sched_getaffinity(0))[:2]) < 2:
        return []
    alone: list[float] = []
    together: list[float] = []
    counted_alone: list[float] = []
    counted_together: list[float] = []
    rounds = environment.plan.rounds
    environment.say("cells: starting two")
    async with AsyncExitStack() as stack:
        opening = (stack.enter_async_context(_cell(core, environment.plan.short_seconds)) for core in cores)
        cells = await asyncio.gather(*opening)
        for number in range(rounds):
            environment.say(f"cells: round {number + 1} of {rounds}")
            alone.append(await _rate([cells[number % 2]]))
            together.append(await _rate(cells))
            counted_alone.append(await _count([cores[number % 2]]))
            counted_together.append(await _count(cores))
    return [
        Figure(
            "POST to CONFIRMED, two cells with a core each",
            Samples(tuple(together), "/s"),
            Samples(tuple(alone), "/s"),
            "one:",
            (Aim(1.8, at_least=True),),
        ),
        Figure(
            "… processes that only count",
            Samples(tuple(counted_together), "/s"),
            Samples(tuple(counted_alone), "/s"),
            "one:",
        ),
    ]


@asynccontextmanager
async def _cell(core: int, seconds: float) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "benchmarks.cell", str(core), str(seconds))
    cell = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        if await _line(cell, _STARTS_WITHIN) != READY:
            raise RuntimeError(f"the cell on core {core} did not start")
        yield cell
    finally:
        if cell.stdin is not None:
            cell.stdin.close()
        await cell.wait()


async def _line(cell: Process, within: float) -> str:
    assert cell.stdout is not None
    async with asyncio.timeout(within):
        return (await cell.stdout.readline()).decode().strip()


async def _rate(cells: Sequence[Process]) -> float:
    """Orders a second of all of them, loaded at the same time."""
    for cell in cells:
        assert cell.stdin is not None
        cell.stdin.write(b"go\n")
    return sum([float(await _line(cell, _ANSWERS_WITHIN)) for cell in cells])


async def _count(cores: Sequence[int]) -> float:
    """How far processes on these cores count in a second, all together."""
    counting = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", _COUNT % core, stdout=PIPE) for core in cores
    ]
    return sum([int((await each.communicate())[0]) for each in counting])
