"""`python -m simulation`: histories of the whole system in a deterministic simulation, one for each seed."""

import gc
import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from chaos.record import commit
from simulation.event_loop import Stuck
from simulation.history import Outcome, simulate
from simulation.record import Record
from simulation.shrink import shrink

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    seeds: Annotated[int, typer.Option(min=1, help="So many histories.")] = 200,
    first: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    orders: Annotated[int, typer.Option(min=1, max=10_000, help="The orders of a history.")] = 100,
    jobs: Annotated[int, typer.Option(min=1, help="So many at a time.")] = os.cpu_count() or 1,
    replay: Annotated[int | None, typer.Option(help="One seed, as a table of everything that happens.")] = None,
    stop: Annotated[bool, typer.Option(help="Stop at the first violation.")] = False,
    shorten: Annotated[bool, typer.Option(help="Look for a shorter history that fails as well.")] = True,
    records: Annotated[Path, typer.Option(help="Where the record is written.")] = Path("simulation-records"),
) -> None:
    """Exit status 0: every promise was kept. 1: one was not, and the command that replays it is printed."""
    _be_quiet()
    console = Console(highlight=False)
    if replay is not None:
        outcome = simulate(replay, orders, partial(print))
        raise typer.Exit(_report(console, outcome, orders))
    began = time.monotonic()
    record = Record(commit(), datetime.now(UTC).isoformat(timespec="seconds"), orders, first)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    failed: Outcome | None = None
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("histories", total=seeds)
        for outcome in outcomes(range(first, first + seeds), orders, jobs):
            record.add(outcome)
            progress.advance(task)
            if outcome.violations:
                failed = failed or outcome
                _report(console, outcome, orders)
                if stop:
                    break
    record.wall_seconds = time.monotonic() - began
    path = records / f"simulation-{datetime.now(UTC):%Y%m%d-%H%M%S}-{first}.json"
    record.write(path)
    console.print(
        f"{record.histories} histories, {record.orders} orders, {sum(record.injected.values())} faults, "
        f"{record.simulated_hours:.1f} h simulated in {record.wall_seconds:.0f} s "
        f"({record.orders / record.wall_seconds:.0f} orders/s): {len(record.violations)} with violations; {path}",
        soft_wrap=True,
    )
    if failed is not None and shorten:
        console.print(shrink(failed.seed, orders, lambda seed, fewer: _alone(seed, fewer).violations), soft_wrap=True)
    raise typer.Exit(1 if record.violations else 0)


def outcomes(seeds: range, orders: int, jobs: int) -> Iterator[Outcome]:
    """The histories of these seeds, each in a process of its own: it finds nothing that another one has left behind."""
    gc.freeze()
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(partial(_outcome, orders=orders), seeds)


def _alone(seed: int, orders: int) -> Outcome:
    (outcome,) = outcomes(range(seed, seed + 1), orders, 1)
    return outcome


def _outcome(seed: int, orders: int) -> Outcome:
    gc.disable()  # when garbage is found depends on addresses, and a history is short
    try:
        return simulate(seed, orders)
    except Stuck as error:
        return Outcome.stuck(seed, str(error))


def _report(console: Console, outcome: Outcome, orders: int) -> int:
    again = f"python -m simulation --replay {outcome.seed} --orders {orders}"
    for violation in outcome.violations:
        console.print(f"seed {outcome.seed}: {violation}", soft_wrap=True, markup=False)
    console.print(f"seed {outcome.seed}, hash {outcome.hash[:16]}; again: {again}", soft_wrap=True, markup=False)
    return 1 if outcome.violations else 0


def _be_quiet() -> None:
    """What the product logs in a history is its answer to faults, and thousands of lines."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


if __name__ == "__main__":
    app()
