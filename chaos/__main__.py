"""`python -m chaos`: inject one fault after another into the whole system, and prove after each round what it kept."""

import asyncio
import logging
import secrets
import signal
import tempfile
import time
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from chaos import network
from chaos.campaign import Campaign
from chaos.faults import FAULTS, STREAMS, chosen_of, not_possible_here
from chaos.installation import installation
from chaos.linearizable import NotChecked, build_checker, fetch_modules
from chaos.record import Record, commit
from order_service.application.cell import MOST
from tests.real_parts.kafka_node import NoBroker, classpath, java_there

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    minutes: Annotated[float, typer.Option(min=0.1, max=600, help="Begin no round after this time.")] = 10,
    seed: Annotated[int | None, typer.Option(help="Choose the same faults again.")] = None,
    faults: Annotated[str, typer.Option(help="Only these, with commas.")] = ",".join(FAULTS),
    other_release: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, resolve_path=True, help="A checkout that runs beside this one."),
    ] = None,
    cell: Annotated[
        int | None, typer.Option(min=0, max=MOST, help="The number of this installation beside others.")
    ] = None,
    records: Annotated[Path, typer.Option(help="Where the record and the histories are written.")] = Path(
        "chaos-records"
    ),
) -> None:
    """Exit status 0: every promise was kept. 1: one was not, and the record says which. 2: it could not run."""
    chosen = _possible([name.strip() for name in faults.split(",") if name.strip()], other_release)
    if not java_there():
        _end("brokers are needed: install a JDK and Maven")
    if network.missing() is None:
        if not network.is_ours():
            classpath()
            fetch_modules()
        network.enter()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers that are away are what this is about
    records.mkdir(parents=True, exist_ok=True)
    record = Record(
        seed=secrets.randbelow(10**6) if seed is None else seed,
        began=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit(),
        cell=cell,
    )
    try:
        asyncio.run(_until_stopped(_run(record, chosen, minutes, records, other_release)))
    except NoBroker as missing:
        _end(str(missing))
    typer.echo(
        f"{sum(record.injections.values())} faults in {record.seconds / 60:.0f} min, seed {record.seed}: "
        f"{len(record.violations)} violations; {record.write(records)}"
    )
    raise typer.Exit(1 if record.violations else 0)


def _possible(names: list[str], other_release: Path | None) -> list[str]:
    """The faults of these that this machine can bring about. The others are named."""
    if unknown := [name for name in names if name not in FAULTS]:
        raise typer.BadParameter(f"the faults are {', '.join(FAULTS)}, and not {', '.join(unknown)}")
    impossible = not_possible_here(other_release)
    if not network.is_ours():
        for name in [name for name in names if name in impossible]:
            typer.echo(f"without {name}: {impossible[name]}", err=True)
    return [name for name in names if name not in impossible] or _end("there is no fault to inject")


def _end(why: str) -> NoReturn:
    typer.echo(why, err=True)
    raise typer.Exit(2)


async def _until_stopped(campaign: Coroutine[None, None, None]) -> None:
    """SIGINT and SIGTERM end the campaign, and everything that it started ends with it."""
    task = asyncio.ensure_future(campaign)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


async def _run(record: Record, chosen: list[str], minutes: float, records: Path, other_release: Path | None) -> None:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(highlight=False)
    with (
        Progress(*columns, console=console, transient=True) as progress,
        tempfile.TemporaryDirectory(prefix="oms-chaos-") as folder,
    ):
        task = progress.add_task("starting brokers, databases and services")
        checker = await asyncio.to_thread(_checker, Path(folder), console)
        async with installation(Path(folder), other_release, record.cell) as running:
            progress.update(task, description=f"seed {record.seed}, {minutes:g} minutes")
            campaign = Campaign(
                running,
                [chosen_of(stream, chosen) for stream in STREAMS],
                record,
                records,
                partial(console.print, soft_wrap=True),
                checker,
            )
            await campaign.run(time.monotonic() + minutes * 60)


def _checker(folder: Path, console: Console) -> Path | None:
    try:
        return build_checker(folder)
    except NotChecked as reason:
        console.print(str(reason), soft_wrap=True, markup=False)
        return None


if __name__ == "__main__":
    app()
