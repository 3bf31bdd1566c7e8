"""`python -m simulation`: histories of the whole system in a deterministic simulation, one for each seed."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from chaos.record import commit
from simulation.faults import FAULTS
from simulation.history import Outcome
from simulation.processes import outcome_of, outcomes
from simulation.record import Record
from simulation.shrink import command, shrink

_WRITTEN_EVERY: Final = 100
"""Histories. Whoever ends a night's campaign early has the record of its first ones."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    seeds: Annotated[int, typer.Option(min=1, help="So many histories.")] = 200,
    first: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    orders: Annotated[int, typer.Option(min=1, max=10_000, help="The orders of a history.")] = 100,
    jobs: Annotated[int, typer.Option(min=1, help="So many at a time.")] = os.cpu_count() or 1,
    replay: Annotated[int | None, typer.Option(help="One seed, with a line for everything that happens.")] = None,
    without: Annotated[str, typer.Option(help="Kinds of faults that are left out, with commas.")] = "",
    stop: Annotated[bool, typer.Option(help="Stop at the first violation.")] = False,
    shorten: Annotated[bool, typer.Option(help="Look for a shorter history that fails as well.")] = True,
    records: Annotated[Path, typer.Option(help="Where the record is written.")] = Path("simulation-records"),
) -> None:
    """Exit status 0: every promise was kept. 1: one was not, and the command that replays it is printed."""
    left_out = _kinds(without)
    console = Console(highlight=False)
    if replay is not None:
        outcome = outcome_of(replay, orders, left_out, print)
        raise typer.Exit(_report(console, outcome, orders, left_out))
    began = time.monotonic()
    record = Record(commit(), datetime.now(UTC).isoformat(timespec="seconds"), orders, first)
    path = records / f"simulation-{datetime.now(UTC):%Y%m%d-%H%M%S}-{first}.json"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    failed: Outcome | None = None
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("histories", total=seeds)
        for outcome in outcomes(range(first, first + seeds), orders, jobs, left_out):
            record.add(outcome)
            progress.advance(task)
            if record.histories % _WRITTEN_EVERY == 0:
                record.write(path, time.monotonic() - began)
            if outcome.violations:
                failed = failed or outcome
                _report(console, outcome, orders, left_out)
                if stop:
                    break
    record.write(path, time.monotonic() - began)
    console.print(
        f"{record.histories} histories, {record.orders} orders, {sum(record.injected.values())} faults, "
        f"{record.simulated_hours:.1f} h simulated in {record.wall_seconds:.0f} s "
        f"({record.orders / record.wall_seconds:.0f} orders/s), hash {record.hash}: "
        f"{len(record.violations)} with violations; {path}",
        soft_wrap=True,
    )
    if failed is not None and shorten:
        shortest = shrink(failed.seed, orders, failed.injected, left_out, _violations)
        console.print(shortest, soft_wrap=True, markup=False)
    raise typer.Exit(1 if record.violations else 0)


def _kinds(text: str) -> frozenset[str]:
    kinds = frozenset(text.split(",")) if text else frozenset[str]()
    if unknown := sorted(kinds - FAULTS.keys()):
        raise typer.BadParameter(f"the kinds of faults are {', '.join(sorted(FAULTS))}, and not {', '.join(unknown)}")
    return kinds


def _violations(seed: int, orders: int, without: frozenset[str]) -> list[str]:
    (outcome,) = outcomes(range(seed, seed + 1), orders, 1, without)
    return outcome.violations


def _report(console: Console, outcome: Outcome, orders: int, without: frozenset[str]) -> int:
    again = command(outcome.seed, orders, without)
    for violation in outcome.violations:
        console.print(f"seed {outcome.seed}: {violation}", soft_wrap=True, markup=False)
    console.print(f"seed {outcome.seed}, hash {outcome.hash[:16]}; again: {again}", soft_wrap=True, markup=False)
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    app()
