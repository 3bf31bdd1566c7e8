"""The record of a campaign: what was injected, what became of it, and what is needed to run it again."""

import json
import subprocess
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chaos.installation import Exit


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault. `at` and `seconds` are its begin, from the begin of the campaign, and how long it took. It is not
    healed when a server that was to come back did not."""

    fault: str
    at: float
    seconds: float
    what: str
    healed: bool


@dataclass(frozen=True, slots=True)
class Round:
    """Some faults under load, the rest after them, and what was wrong then. `recovered_in` are the seconds from the
    end of the last fault and of the load until everything agreed; None when it never did. `checked_by` are the checkers
    that have judged its history."""

    number: int
    injections: list[Injection]
    calls: int
    unknown: int
    orders: dict[str, int]
    recovered_in: float | None
    checked_by: list[str]
    violations: list[str]


@dataclass(slots=True)
class Record:
    """A campaign so far."""

    seed: int
    began: str
    commit: str
    cell: int | None = None
    seconds: float = 0.0
    rounds: list[Round] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)

    @property
    def injections(self) -> Counter[str]:
        """How often each fault was injected."""
        return Counter(injection.fault for round_ in self.rounds for injection in round_.injections)

    @property
    def violations(self) -> list[str]:
        """Everything that was wrong in any round."""
        return [f"round {round_.number}: {violation}" for round_ in self.rounds for violation in round_.violations]

    def write(self, folder: Path) -> Path:
        """Store it as JSON, and return where."""
        path = folder / f"chaos-{self.seed}.json"
        sums = {"injections": dict(self.injections), "orders": self._sum_of_orders()}
        path.write_text(json.dumps(asdict(self) | sums, indent=1))
        return path

    def _sum_of_orders(self) -> dict[str, int]:
        return dict(sum((Counter(round_.orders) for round_ in self.rounds), Counter[str]()))


def commit() -> str:
    """The commit that is checked out, for the record."""
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
