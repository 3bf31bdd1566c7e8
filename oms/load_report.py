"""What `oms load` has seen: counts, and exact percentiles of times."""

import math
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from oms.output import cells, console

TAKEN = "201"
CONFIRMED = "CONFIRMED"
_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
_RECENT = 1000
_REFRESHED = 4


class LoadReport:
    """The answers to requests, the outcomes of orders, and their times in seconds from when each was due."""

    def __init__(self, orders: int, rate: float | None) -> None:
        self.orders = orders
        self.rate = rate
        self.began = self.ended = 0.0
        self.answers: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.followed_late = 0
        self.post_seconds = array("d")
        self.confirmed_seconds = array("d")
        self.recent: dict[str, deque[float]] = {"accepted": deque(maxlen=_RECENT), "settled": deque(maxlen=_RECENT)}
        self._confirmed_at = 0.0

    def posted(self, answer: str, seconds: float, now: float) -> None:
        """A request was answered. An answer that is no order has its time, too."""
        self.answers[answer] += 1
        self.post_seconds.append(seconds)
        self.recent["accepted"].append(seconds)
        self.ended = now

    def settled(self, outcome: str, seconds: float, now: float) -> None:
        """An order is settled."""
        self.outcomes[outcome] += 1
        self.recent["settled"].append(seconds)
        if outcome == CONFIRMED:
            self.confirmed_seconds.append(seconds)
            self._confirmed_at = now

    @property
    def accepted(self) -> int:
        """How many orders were accepted."""
        return self.answers[TAKEN]

    @property
    def refused(self) -> Mapping[str, int]:
        """How many were not, by answer."""
        return {answer: count for answer, count in sorted(self.answers.items()) if answer != TAKEN}

    @property
    def not_settled(self) -> int:
        """How many of the accepted orders were given up."""
        return self.accepted - self.outcomes.total()

    @property
    def accepted_per_second(self) -> float:
        """Accepted orders, over the time from the first request to the last answer."""
        return self.accepted / max(self.ended - self.began, 1e-9)

    @property
    def confirmed_per_second(self) -> float:
        """Confirmed orders, over the time from the first request to the last confirmation."""
        return self.outcomes[CONFIRMED] / max(self._confirmed_at - self.began, 1e-9)

    def document(self) -> dict[str, Any]:
        """Everything, for JSON. Times are in seconds."""
        return {
            "orders": self.orders,
            "rate": self.rate,
            "accepted": self.accepted,
            "refused": self.refused,
            "acceptedPerSecond": round(self.accepted_per_second, 3),
            "outcomes": self.outcomes,
            "notSettled": self.not_settled,
            "confirmedPerSecond": round(self.confirmed_per_second, 3),
            "followedLate": self.followed_late,
            "postSeconds": percentiles(self.post_seconds),
            "confirmedSeconds": percentiles(self.confirmed_seconds),
        }


def percentiles(seconds: Sequence[float]) -> Mapping[str, float]:
    """The least time that so much of the times do not exceed. Nothing when there are no times."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    return {name: ordered[max(0, math.ceil(len(ordered) * part) - 1)] for name, part in _PERCENTILES.items()}


def print_report(report: LoadReport) -> None:
    """Print the report as a table."""
    table = Table(show_header=False)
    rows: list[tuple[str, object]] = [("accepted", report.accepted), ("refused", sum(report.refused.values()))]
    rows += [(f"  {answer}", count) for answer, count in report.refused.items()]
    rows.append(("accepted/s", f"{report.accepted_per_second:.0f}"))
    rows += [(outcome.lower(), count) for outcome, count in sorted(report.outcomes.items())]
    rows += [("not settled", report.not_settled), ("confirmed/s", f"{report.confirmed_per_second:.0f}")]
    if report.followed_late:
        rows.append(("followed late", report.followed_late))
    since = "due" if report.rate else "sent"
    for end, seconds in (("answered", report.post_seconds), ("confirmed", report.confirmed_seconds)):
        times = percentiles(seconds)
        rows += [(f"{since} to {end}, {name}", f"{value * 1000:.1f} ms") for name, value in times.items()]
    for name, value in rows:
        table.add_row(*cells(name, value))
    console().print(table)


@contextmanager
def live(report: LoadReport, clock: Callable[[], float]) -> Iterator[None]:
    """Show the progress on a terminal while the block runs, and nothing elsewhere."""
    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield
        return
    view = partial(_progress, report, clock)
    with Live(console=screen, get_renderable=view, refresh_per_second=_REFRESHED, transient=True):
        yield


def _progress(report: LoadReport, clock: Callable[[], float]) -> Table:
    """The counts so far, and the times of the last thousand."""
    table = Table("", "orders", "/s", "p50", "p99", box=box.SIMPLE_HEAD)
    seconds = max(clock() - report.began, 1e-9)
    done = {"accepted": f"{report.accepted} of {report.orders}", "settled": str(report.outcomes.total())}
    counts = {"accepted": report.accepted, "settled": report.outcomes.total()}
    for name, recent in report.recent.items():
        times = percentiles(list(recent))
        shown = [f"{times[part] * 1000:.0f} ms" if times else "-" for part in ("p50", "p99")]
        table.add_row(name, done[name], f"{counts[name] / seconds:.0f}", *shown)
    return table
