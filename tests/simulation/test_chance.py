"""No clock and no chance but those of the seed."""

import os
import time
import uuid
from random import Random

import pytest

from simulation.chance import BEGINNING, Chance, nothing_else
from simulation.event_loop import MACHINE, Machine, SimulatedLoop


@pytest.fixture
def chance() -> Chance:
    MACHINE.set(Machine("here"))
    return Chance(SimulatedLoop(Random(1)), Random(1))


@pytest.mark.parametrize("guarded", [lambda: uuid.uuid4(), lambda: os.urandom(8), lambda: time.sleep(0)])
def test_what_the_seed_does_not_decide_is_refused(chance: Chance, guarded: object) -> None:
    with nothing_else(chance._loop, chance, "seed"), pytest.raises(AssertionError, match="the seed decides nothing"):
        guarded()  # type: ignore[operator]


def test_clocks_are_those_of_the_loop(chance: Chance) -> None:
    with nothing_else(chance._loop, chance, "seed"):
        assert time.time() == BEGINNING
        assert time.monotonic() == 0.0
        MACHINE.get().clock_offset = 3.0
        assert chance.now().timestamp() == BEGINNING + 3


def test_ids_are_version_7_of_the_machines_clock(chance: Chance) -> None:
    first = chance.uuid7()

    assert first.version == 7
    assert first.variant == uuid.RFC_4122
    assert first.int >> 80 == int(BEGINNING * 1000)
