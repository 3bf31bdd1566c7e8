"""Whole histories: every promise is kept, and the same seed is the same history."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulation.mutation import MUTANTS, judge, names

_SEEDS = 8
_ORDERS = 25


def _run(folder: Path, *arguments: str, hash_seed: str = "0") -> dict[str, Any]:
    """The record of a campaign."""
    ran = subprocess.run(
        [sys.executable, "-m", "simulation", "--records", str(folder), "--jobs", "1", *arguments],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (path,) = folder.glob("simulation-*.json")
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def test_every_promise_is_kept_in_histories_with_faults(tmp_path: Path) -> None:
    record = _run(tmp_path, "--seeds", str(_SEEDS), "--orders", str(_ORDERS))

    assert record["orders"] == _SEEDS * _ORDERS
    assert record["violations"] == {}
    assert len(record["injected"]) >= 6, record["injected"]


def test_the_same_seed_is_the_same_history_also_with_other_hashes_of_strings(tmp_path: Path) -> None:
    hashes = [
        _run(tmp_path / seed, "--seeds", "10", "--orders", "20", "--first", "300", hash_seed=seed)["hashes"]
        for seed in ("1", "2")
    ]

    assert hashes[0] == hashes[1]
    assert len(set(hashes[0].values())) == 10


@pytest.mark.parametrize("mutant", names())
def test_a_mutant_can_be_made_of_this_tree(mutant: str) -> None:
    checked = subprocess.run(
        ["git", "apply", "--check", str(MUTANTS / f"{mutant}.patch")], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, f"the product has changed, so write the patch anew: {checked.stderr}"


def test_a_mutant_is_noticed() -> None:
    verdict = judge("release_gives_nothing_back", seeds=10, orders=20, jobs=1, within=300)

    assert verdict.seed is not None
    assert "are reserved" in verdict.noticed
