"""For any schedule of records, failures, crashes, rebalances and sweeps: each record ends handled or dead, none is lost
or done twice, and a key is handled in the order of its delivery."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messaging.engine import consumer as consumer_module
from messaging.engine.consumer import Consumer
from messaging.memory.failures import MemoryFailures
from messaging.ports.failures import Failure, Parked
from messaging.ports.record import Record, Rejected
from messaging.ports.subscription import Subscription
from tests.messaging.records import SOURCE, TOPIC, of_key, record

KEYS = ("a", "a", "b")
REJECTED = -1
FATES = (0, 0, 0, 1, 3, 4, REJECTED)
STEPS = ("poll", "poll, killed", "rebalance", "sweep", "sweep, killed", "sweeps and polls")
Answer = TypeVar("Answer")


class SlowFailures(MemoryFailures):
    """Everything takes a while, so that others come in between. What is parked is always due."""

    async def parked_among(self, keys: Sequence[str]) -> set[str]:
        """See Failures."""
        return await _slowly(lambda: super(SlowFailures, self).parked_among(keys))

    async def park(self, failures: Sequence[Failure]) -> None:
        """See Failures."""
        await _slowly(lambda: super(SlowFailures, self).park(failures))

    async def bury(self, failure: Failure, parked_id: int | None = None) -> None:
        """See Failures."""
        await _slowly(lambda: super(SlowFailures, self).bury(failure, parked_id))

    async def due(self, limit: int) -> Sequence[str]:
        """See Failures."""
        self._due_at.update(dict.fromkeys(self._due_at, 0.0))
        return await _slowly(lambda: super(SlowFailures, self).due(limit))

    async def oldest_of(self, key: str) -> Parked | None:
        """See Failures."""
        return await _slowly(lambda: super(SlowFailures, self).oldest_of(key))

    async def postpone(self, parked_id: int, error: str, seconds: float) -> None:
        """See Failures."""
        await _slowly(lambda: super(SlowFailures, self).postpone(parked_id, error, seconds))

    async def forget(self, parked_id: int) -> None:
        """See Failures."""
        await _slowly(lambda: super(SlowFailures, self).forget(parked_id))


async def _slowly(action: Callable[[], Awaitable[Answer]]) -> Answer:
    await asyncio.sleep(0)
    answer = await action()
    await asyncio.sleep(0)
    return answer


@dataclass
class World:
    """A partition, its committed offset, and consumers that come and go. Everything they know is in `failures` and in
    what the service's database has: its effects."""

    log: list[Record]
    fates: Sequence[int]  # of each record: how many tries fail, or REJECTED
    committed: int = 0
    effects: list[Record] = field(default_factory=list)
    tries: Counter[int] = field(default_factory=Counter)
    failures: SlowFailures = field(default_factory=SlowFailures)

    async def handle(self, record: Record) -> None:
        """The service's handler: a load, a decision, a commit with a claim, and an answer."""
        for _ in range(record.offset % 4):
            await asyncio.sleep(0)
        self.tries[record.offset] += 1
        if record.offset in self.rejected:
            raise Rejected("no such order")
        if self.tries[record.offset] <= self.fates[record.offset]:
            raise RuntimeError("it is broken")
        if record not in self.effects:
            self.effects.append(record)
        await asyncio.sleep(0)

    @property
    def rejected(self) -> set[int]:
        """The offsets of what can never be handled."""
        return {offset for offset, fate in enumerate(self.fates) if fate == REJECTED}

    def consumer(self) -> Consumer:
        """A process that has just started."""
        return Consumer("test", [Subscription(TOPIC, {"StockReserved": self.handle}, SOURCE)], self.failures)

    async def poll(self, count: int) -> None:
        """Handle the next batch and commit its offset."""
        batch = self.log[self.committed : self.committed + count]
        await self.consumer().handle(batch)
        self.committed += len(batch)

    async def take(self, step: str, count: int, ticks: int) -> None:
        """One step of the schedule."""
        match step:
            case "poll":
                await self.poll(count)
            case "poll, killed":
                await _killed(self.poll(count), ticks)
            case "rebalance":  # the former owner is still busy with its batch, and its commit comes too late
                former = asyncio.create_task(self.consumer().handle(self.log[self.committed : self.committed + count]))
                await _tick(ticks)
                await asyncio.gather(former, self.poll(count + 1))
            case "sweep":
                await self.consumer().sweep()
            case "sweep, killed":
                await _killed(self.consumer().sweep(), ticks)
            case "sweeps and polls":
                sweep = asyncio.create_task(self.consumer().sweep())
                await _tick(ticks)
                await asyncio.gather(sweep, self.consumer().sweep(), self.poll(count))

    def check(self, undecided: Sequence[Record]) -> None:
        """What holds at any time."""
        placed = [each.offset for each in self.effects]
        parked = {each.record.offset for each in self.failures._waiting.values()}
        dead = [each.record.offset for each in self.failures.dead]
        lost = set(range(self.committed)) - {*placed, *parked, *dead}
        assert not lost, "behind the committed offset, and nowhere"
        assert len(set(placed)) == len(placed), "done twice"
        assert len(set(dead)) == len(dead), "buried twice"
        assert set(dead) <= self.rejected, "buried, and not rejected"
        assert set(dead).isdisjoint(placed)
        for key in set(KEYS):
            done = [each.offset for each in of_key(key, self.effects)]
            due = [each.offset for each in of_key(key, self.log) if each.offset not in self.rejected]
            assert done == due[: len(done)], f"out of order: {key}"
        assert not undecided, "still parked when everything works again"


async def _tick(ticks: int) -> None:
    for _ in range(ticks):
        await asyncio.sleep(0)


async def _killed(work: Coroutine[Any, Any, None], after: int) -> None:
    task = asyncio.create_task(work)
    await _tick(after)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _play(world: World, schedule: Sequence[tuple[str, int, int]]) -> None:
    for step, count, ticks in schedule:
        await world.take(step, count, ticks)
        world.check(undecided=[])
    while world.committed < len(world.log):
        await world.poll(3)
    for _ in range(max(FATES) * len(world.log)):
        await world.consumer().sweep()
    world.check(undecided=[each.record for each in world.failures._waiting.values()])
    assert len(world.effects) == len(world.log) - len(world.rejected)
    assert {each.record.offset for each in world.failures.dead} == world.rejected


@settings(max_examples=250, deadline=None)
@given(
    records=st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(FATES)), min_size=1, max_size=20),
    schedule=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 6), st.integers(0, 25)), max_size=15),
)
def test_whatever_happens(records: list[tuple[str, int]], schedule: list[tuple[str, int, int]]) -> None:
    log = [replace(record(key), offset=offset) for offset, (key, _) in enumerate(records)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consumer_module, "_FIRST_PAUSE", 0.0)
        asyncio.run(_play(World(log, [fate for _, fate in records]), schedule))
