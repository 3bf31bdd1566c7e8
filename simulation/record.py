"""The record of a campaign of simulated histories, as JSON."""

import json
import platform
from collections import Counter
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path

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
        self.hash = sha256(json.dumps(self.hashes).encode()).hexdigest()[:16]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({each.name: getattr(self, each.name) for each in fields(self)}, indent=1))
