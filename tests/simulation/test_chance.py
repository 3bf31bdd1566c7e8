"""No clock and no chance but those of the seed."""

import os
import random
import sys
import time
import uuid
from collections.abc import Iterator
from random import Random
from types import FunctionType, ModuleType

import pytest

import simulation.history  # noqa: F401  everything that a history runs
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


_SIMULATED = (
    "order_service.application",
    "order_service.infrastructure",
    "inventory_service.application",
    "payment_service.application",
    "messaging.engine",
    "messaging.kafka",
    "messaging.runtime.roles",
    "aiokafka",
)
_REAL = (time.monotonic, time.time, time.perf_counter, time.time_ns, random.random, random.uniform, uuid.uuid4)


def test_nothing_that_is_simulated_has_bound_a_real_clock_or_chance_when_it_was_imported() -> None:
    """A default argument is bound at the import, and no patch reaches it."""
    bound = [
        f"{name}.{function.__qualname__}"
        for name, module in sys.modules.items()
        if name.startswith(_SIMULATED) and not name.startswith("aiokafka.record")  # there is one in C
        for function in _functions(module)
        if any(
            default in _REAL for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        )
    ]

    assert bound == []


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    for member in vars(module).values():
        if isinstance(member, FunctionType):
            yield member
        elif isinstance(member, type):
            yield from (each for each in vars(member).values() if isinstance(each, FunctionType))
