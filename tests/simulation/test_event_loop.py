"""The simulated event loop: time that jumps, machines that take turns, die and freeze."""

import asyncio
from contextvars import copy_context
from random import Random
from typing import Any

import pytest

from simulation.event_loop import MACHINE, Machine, SimulatedLoop, Stuck


@pytest.fixture
def loop() -> SimulatedLoop:
    MACHINE.set(Machine("world"))
    return SimulatedLoop(Random(1))


def _on(machine: Machine) -> Any:
    context = copy_context()
    context.run(MACHINE.set, machine)
    return context


def test_an_hour_passes_at_once(loop: SimulatedLoop) -> None:
    async def wait() -> float:
        await asyncio.sleep(3600)
        return loop.time()

    assert loop.run_until_complete(wait()) == 3600


def test_callbacks_of_a_machine_keep_their_order(loop: SimulatedLoop) -> None:
    seen: list[int] = []
    one, other = Machine("one"), Machine("other")

    async def run() -> None:
        for number in range(50):
            loop.call_soon(seen.append, number, context=_on(one))
            loop.call_soon(seen.append, 1000 + number, context=_on(other))
        await asyncio.sleep(1)

    loop.run_until_complete(run())

    assert [each for each in seen if each < 1000] == list(range(50))
    assert [each for each in seen if each >= 1000] == list(range(1000, 1050))
    assert seen != sorted(seen), "the machines did not take turns"


def test_another_seed_is_another_order_and_the_same_seed_is_the_same() -> None:
    def order(seed: int) -> list[str]:
        seen: list[str] = []
        MACHINE.set(Machine("world"))
        loop = SimulatedLoop(Random(seed))

        async def run() -> None:
            for name in "abcdefgh":
                loop.call_soon(seen.append, name, context=_on(Machine(name)))
            await asyncio.sleep(1)

        loop.run_until_complete(run())
        return seen

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_a_killed_machine_runs_nothing_more_and_cleans_nothing_up(loop: SimulatedLoop) -> None:
    seen: list[str] = []
    machine = Machine("killed")

    async def work() -> None:
        try:
            while True:
                seen.append("works")
                await asyncio.sleep(1)
        finally:
            seen.append("cleaned up")

    async def run() -> None:
        loop.create_task(work(), context=_on(machine))
        await asyncio.sleep(2.5)
        loop.kill(machine)
        await asyncio.sleep(10)

    loop.run_until_complete(run())

    assert seen == ["works"] * 3


def test_a_frozen_machine_goes_on_where_it_stopped(loop: SimulatedLoop) -> None:
    seen: list[float] = []
    machine = Machine("frozen")

    async def work() -> None:
        for _ in range(4):
            seen.append(loop.time())
            await asyncio.sleep(1)

    async def run() -> None:
        loop.create_task(work(), context=_on(machine))
        await asyncio.sleep(1.5)
        loop.freeze(machine)
        await asyncio.sleep(10)
        loop.thaw(machine)
        await asyncio.sleep(10)

    loop.run_until_complete(run())

    assert seen == [0.0, 1.0, 11.5, 12.5]


def test_a_loop_without_an_end_is_noticed(loop: SimulatedLoop) -> None:
    async def run() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Stuck, match="time does not go on"):
        loop.run_until_complete(run())


def test_waiting_for_what_never_comes_is_noticed(loop: SimulatedLoop) -> None:
    async def run() -> None:
        await loop.create_future()

    with pytest.raises(Stuck, match="nothing will ever happen"):
        loop.run_until_complete(run())
