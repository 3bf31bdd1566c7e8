"""The record of a campaign of simulated histories, as JSON."""

import json
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from simulation.history import Outcome


@dataclass(slots=True)
class Record:
    """The sums of all histories, and what was wrong in which. `commit` is the commit that was checked out. `hashes` has
    the hash of everything that happened in each history: another run of the same tree has the same ones."""

    commit: str
    began: str
    orders_a_history: int
    first_seed: int
    histories: int = 0
    orders: int = 0
    calls: int = 0
    unknown: int = 0
    commits: int = 0
    simulated_hours: float = 0.0
    wall_seconds: float = 0.0
    longest_recovery: float = 0.0
    injected: Counter[str] = field(default_factory=Counter)
    histories_with: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    violations: dict[int, list[str]] = field(default_factory=dict)
    hashes: dict[int, str] = field(default_factory=dict)
    hash: str = ""
    python: str = platform.python_version()

    def add(self, outcome: Outcome) -> None:
        """One more history."""
        self.histories += 1
        self.orders += sum(outcome.orders.values())
        self.calls += outcome.calls
        self.unknown += outcome.unknown
        self.commits += outcome.commits
        self.simulated_hours += outcome.seconds / 3600
        self.longest_recovery = max(self.longest_recovery, outcome.recovered_in or 0.0)
        self.injected += outcome.injected
        self.histories_with.update(outcome.injected.keys())
        self.statuses += outcome.orders
        self.hashes[outcome.seed] = outcome.hash[:16]
        if outcome.violations:
            self.violations[outcome.seed] = outcome.violations

    def write(self, path: Path, wall_seconds: float) -> None:
        """Store it. `hash` is that of the hashes of all histories."""
        self.wall_seconds = wall_seconds
        self.hash = _hash_of(self.hashes)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.content(), indent=1))

    def content(self) -> dict[str, Any]:
        """Everything in it, by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def read(cls, path: Path) -> "Record":
        """The record that `write` has stored."""
        stored = json.loads(path.read_text())
        for name in ("injected", "histories_with", "statuses"):
            stored[name] = Counter(stored[name])
        for name in ("violations", "hashes"):
            stored[name] = {int(seed): of_seed for seed, of_seed in stored[name].items()}
        return cls(**stored)

    def joined(self, later: "Record") -> "Record":
        """The record of both campaigns as one, which is what one run over all their seeds would have written. Raises
        ValueError unless `later` goes on where this one ends, with the same tree, Python and size of histories."""
        goes_on = self.first_seed + self.histories
        if later.first_seed != goes_on:
            raise ValueError(
                f"the seeds after {goes_on - 1} are missing: the next record begins with {later.first_seed}"
            )
        for name in ("commit", "python", "orders_a_history"):
            if getattr(self, name) != getattr(later, name):
                raise ValueError(
                    f"{name} is {getattr(self, name)} in one record and {getattr(later, name)} in the other"
                )
        sums: dict[str, Any] = {name: getattr(self, name) + getattr(later, name) for name in _SUMMED}
        hashes = self.hashes | later.hashes
        return replace(
            self,
            **sums,
            longest_recovery=max(self.longest_recovery, later.longest_recovery),
            violations=self.violations | later.violations,
            hashes=hashes,
            hash=_hash_of(hashes),
        )

    def hashes_of_hundreds(self) -> dict[int, str]:
        """For each hundred seeds that are all in the record, by the first of them: the `hash` that a campaign over this
        hundred alone has."""
        beginnings = [seed for seed in self.hashes if seed % 100 == 0 and seed + 99 in self.hashes]
        return {
            first: _hash_of({seed: self.hashes[seed] for seed in range(first, first + 100)}) for first in beginnings
        }


_SUMMED: Final = (
    "histories", "orders", "calls", "unknown", "commits", "simulated_hours", "wall_seconds",
    "injected", "histories_with", "statuses",
)  # fmt: skip


def _hash_of(hashes: Mapping[int, str]) -> str:
    return sha256(json.dumps(hashes).encode()).hexdigest()[:16]
