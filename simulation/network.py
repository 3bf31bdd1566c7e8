"""The network between the machines: how long a message takes, and which machines are away."""

import asyncio
from contextvars import Context, copy_context
from random import Random
from typing import Any, Final

from simulation.event_loop import MACHINE, Machine

_MEAN: Final = 0.0005


class Network:
    """`slow` multiplies the times to and from a machine. Nobody reaches a machine that is `away`, and the two machines
    of a cut do not reach each other."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.slow: dict[str, float] = {}
        self.away: set[str] = set()
        self.cuts: set[frozenset[str]] = set()

    def time(self, sender: str, receiver: str) -> float:
        """The seconds that a message takes."""
        seconds = self._rng.expovariate(1 / _MEAN)
        if self.slow:
            seconds *= self.slow.get(sender, 1.0) * self.slow.get(receiver, 1.0)
        return seconds

    async def transit(self, sender: str, receiver: str) -> None:
        """Return when a message has arrived."""
        await asyncio.sleep(self.time(sender, receiver))

    def reaches(self, one: str, other: str) -> bool:
        """False when the other machine is away, or cut off from this one."""
        return other not in self.away and frozenset((one, other)) not in self.cuts

    def context_of(self, machine: Machine) -> Context:
        """The context in which code of the machine runs, if no code of it runs yet."""
        context = copy_context()
        context.run(MACHINE.set, machine)
        return context


def give(answer: asyncio.Future[Any], result: Any) -> None:
    """The result or the exception arrives at whoever waits for it, if anybody still does."""
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
