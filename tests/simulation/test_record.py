"""A campaign that was run in parts has the same record as one that was not."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulation.history import Outcome
from simulation.record import Record


def _outcome(seed: int) -> Outcome:
    return Outcome(
        seed=seed,
        hash=f"{seed:064x}",
        orders=Counter({"CONFIRMED": 3, "REJECTED": seed % 2}),
        calls=10 + seed,
        unknown=seed % 3,
        injected=Counter({"process killed": 1 + seed % 4}),
        commits=20,
        seconds=36.0,
        recovered_in=float(seed % 7),
        violations=["an order is lost"] if seed == 150 else [],
    )


def _record(first: int, histories: int, path: Path) -> Record:
    record = Record("2ad08a4", "2026-11-27T00:00:00+00:00", 10, first)
    for seed in range(first, first + histories):
        record.add(_outcome(seed))
    record.write(path, float(histories))
    return Record.read(path)


def test_parts_are_joined_to_the_record_of_the_whole(tmp_path: Path) -> None:
    whole = _record(0, 250, tmp_path / "whole.json")
    begin, end = _record(0, 120, tmp_path / "begin.json"), _record(120, 130, tmp_path / "end.json")

    joined = begin.joined(end)

    assert joined.simulated_hours == pytest.approx(whole.simulated_hours)
    assert replace(joined, simulated_hours=whole.simulated_hours) == whole


def test_each_whole_hundred_has_the_hash_of_a_campaign_of_its_own(tmp_path: Path) -> None:
    whole = _record(0, 250, tmp_path / "whole.json")
    second = _record(100, 100, tmp_path / "second.json")

    hashes = whole.hashes_of_hundreds()

    assert list(hashes) == [0, 100]
    assert hashes[100] == second.hash


@pytest.mark.parametrize(
    ("later", "why"),
    [
        ({"first_seed": 11}, "the seeds after 9 are missing: the next record begins with 11"),
        ({"commit": "e49aca0"}, "commit is 2ad08a4 in one record and e49aca0 in the other"),
        ({"python": "3.14.0"}, "python is .* in one record and 3.14.0 in the other"),
        ({"orders_a_history": 20}, "orders_a_history is 10 in one record and 20 in the other"),
    ],
)
def test_records_of_other_campaigns_are_not_joined(tmp_path: Path, later: dict[str, Any], why: str) -> None:
    first, second = _record(0, 10, tmp_path / "1.json"), _record(10, 10, tmp_path / "2.json")

    with pytest.raises(ValueError, match=why):
        first.joined(replace(second, **later))
