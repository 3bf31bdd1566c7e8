"""The result: figures with their spread, as ratios to baselines of the same run, on a terminal and in the README."""

import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

COLUMNS = ("figure", "measured", "baseline", "ratio", "aim", "reached")
_BLOCK = re.compile(r"(<!-- results -->\n).*(<!-- end of results -->)", flags=re.DOTALL)


@dataclass(frozen=True, slots=True)
class Samples:
    """What was measured, one value a round."""

    values: tuple[float, ...]
    unit: str

    @property
    def median(self) -> float:
        """The value that counts."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        spread = f" ({_number(low)}-{_number(high)})" if len(self.values) > 1 else ""
        return f"{_number(self.median)}{self.unit}{spread}"


@dataclass(frozen=True, slots=True)
class Aim:
    """A limit for the ratio, or for the measured value itself."""

    limit: float
    at_least: bool
    of_ratio: bool = True
    unit: str = "x"

    def reached_by(self, value: float) -> bool:
        """Is the value on the right side?"""
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {_number(self.limit)}{self.unit}"


@dataclass(frozen=True, slots=True)
class Figure:
    """A row. The ratio is that of each round, so what slows a whole round down does not show in it."""

    name: str
    measured: Samples
    baseline: Samples | None = None
    baseline_name: str = ""
    aims: tuple[Aim, ...] = ()

    @property
    def ratio(self) -> Samples | None:
        """Measured to baseline, a value a round."""
        if self.baseline is None:
            return None
        pairs = zip(self.measured.values, self.baseline.values, strict=True)
        return Samples(tuple(measured / baseline for measured, baseline in pairs), "x")

    @property
    def reached(self) -> bool:
        """True when every aim is; also where there is none."""
        return all(aim.reached_by(self._median(aim)) for aim in self.aims)

    def _median(self, aim: Aim) -> float:
        ratio = self.ratio
        return ratio.median if aim.of_ratio and ratio is not None else self.measured.median

    def cells(self) -> tuple[str, ...]:
        """The row, in the order of COLUMNS."""
        return (
            self.name,
            str(self.measured),
            f"{self.baseline_name} {self.baseline}" if self.baseline else "",
            str(self.ratio or ""),
            " and ".join(map(str, self.aims)),
            ("yes" if self.reached else "no") if self.aims else "",
        )


def terminal_table(figures: Sequence[Figure]) -> Table:
    """For rich to print."""
    table = Table(*COLUMNS, show_lines=True)
    for figure in figures:
        *cells, reached = figure.cells()
        table.add_row(*cells, f"[{'green' if figure.reached else 'bold red'}]{reached}[/]" if reached else "")
    return table


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """For a page."""
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *rows))


def write_block(page: Path, results: str) -> None:
    """Put results between the two markers of a page."""
    text = _BLOCK.sub(lambda markers: f"{markers[1]}{results}{markers[2]}", page.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}".removesuffix("0").removesuffix(".0")
