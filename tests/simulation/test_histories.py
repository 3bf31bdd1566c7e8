"""Whole histories: every promise is kept, and the same seed is the same history."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulation import mutation
from simulation.faults import FAULTS
from simulation.mutation import MUTANTS, judge, names

_SEEDS = 200
_ORDERS = 10
_TWICE = 50


def _run(folder: Path, *arguments: str, hash_seed: str = "0") -> dict[str, Any]:
    """The record of a campaign."""
    ran = subprocess.run(
        [sys.executable, "-m", "simulation", "--records", str(folder), "--jobs", "1", *arguments],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
        timeout=380,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (path,) = folder.glob("simulation-*.json")
    record: dict[str, Any] = json.loads(path.read_text())
    return record


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The record of short histories."""
    return _run(tmp_path_factory.mktemp("records"), "--seeds", str(_SEEDS), "--orders", str(_ORDERS))


def test_every_promise_is_kept_in_histories_with_faults(record: dict[str, Any]) -> None:
    assert record["orders"] == _SEEDS * _ORDERS
    assert record["violations"] == {}
    assert record["injected"].keys() == FAULTS.keys()


def test_the_same_seed_is_the_same_history_also_with_other_hashes_of_strings(
    record: dict[str, Any], tmp_path: Path
) -> None:
    again = _run(tmp_path, "--seeds", str(_TWICE), "--orders", str(_ORDERS), hash_seed="1")

    assert again["hashes"] == {seed: record["hashes"][seed] for seed in map(str, range(_TWICE))}
    assert len(set(record["hashes"].values())) == _SEEDS


@pytest.mark.parametrize("mutant", names())
def test_a_mutant_can_be_made_of_this_tree(mutant: str) -> None:
    checked = subprocess.run(
        ["git", "apply", "--check", str(MUTANTS / f"{mutant}.patch")], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, f"the product has changed, so write the patch anew: {checked.stderr}"


@pytest.mark.parametrize("mutant", names())
def test_a_mutant_names_a_test_that_is_there(mutant: str) -> None:
    path, _, name = mutation.test_of(mutant).partition("::")

    assert f"def {name}(" in (Path(__file__).parents[2] / path).read_text()


def test_a_mutant_is_noticed() -> None:
    verdict = judge("release_gives_nothing_back", seeds=10, orders=20, jobs=1, within=300)

    assert verdict.seed is not None
    assert "are reserved" in verdict.noticed
