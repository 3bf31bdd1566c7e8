"""`python -m benchmarks`: measure everything in one run and print one table."""

import sys
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from benchmarks import (
    access,
    calm,
    cells,
    consumer_rate,
    delivery_latency,
    fulfilment,
    machine,
    memory,
    profiling,
    recovery,
    relay_rate,
    slow_disk,
    stock,
    table,
    tracing,
    write_path,
)
from benchmarks.database import database_server
from benchmarks.environment import Environment
from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.wrk import WrkMissing, require_wrk
from tests.real_parts.kafka import Broker, NoBroker, kafka_broker

_README = Path(__file__).with_name("README.md")


class Measurement(StrEnum):
    """What can be asked for alone."""

    WRITE_PATH = "write-path"
    RELAY = "relay"
    BACKLOG = "backlog"
    STANDBY = "standby"
    LATENCY = "latency"
    MEMORY = "memory"
    CONSUMER = "consumer"
    FULFILMENT = "fulfilment"
    FULFILMENT_LATENCY = "fulfilment-latency"
    EMBEDDED = "embedded"
    RECOVERY = "recovery"
    TRACING = "tracing"
    ACCESS = "access"
    CALM = "calm"
    STOCK = "stock"
    SLOW_DISK = "slow-disk"
    CELLS = "cells"


_MEASURE = {
    Measurement.WRITE_PATH: write_path.measure,
    Measurement.RELAY: relay_rate.measure,
    Measurement.BACKLOG: relay_rate.measure_backlog,
    Measurement.STANDBY: relay_rate.measure_with_standby,
    Measurement.LATENCY: delivery_latency.measure,
    Measurement.MEMORY: memory.measure,
    Measurement.CONSUMER: consumer_rate.measure,
    Measurement.FULFILMENT: fulfilment.measure,
    Measurement.FULFILMENT_LATENCY: fulfilment.measure_latency,
    Measurement.EMBEDDED: fulfilment.measure_embedded,
    Measurement.RECOVERY: recovery.measure,
    Measurement.TRACING: tracing.measure,
    Measurement.ACCESS: access.measure,
    Measurement.CALM: calm.measure,
    Measurement.STOCK: stock.measure,
    Measurement.SLOW_DISK: slow_disk.measure,
    Measurement.CELLS: cells.measure,
}


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer, shorter rounds and smaller backlogs.")] = False,
    only: Annotated[list[Measurement] | None, typer.Option(help="Measure this alone; may be repeated.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Put the table into benchmarks/README.md.")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show where the processes' time goes, with py-spy.")
    ] = False,
) -> None:
    """Measure the services against baselines of the same run."""
    if write and only:
        raise typer.BadParameter("--write wants all figures of one run: leave out --only")
    try:
        require_wrk()
        with kafka_broker() as broker:
            uvloop.run(_run(QUICK if quick else FULL, only or list(Measurement), broker, write=write, profile=profile))
    except (WrkMissing, NoBroker) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


async def _run(plan: Plan, measurements: list[Measurement], broker: Broker, *, write: bool, profile: bool) -> None:
    with Console(stderr=True).status("starting PostgreSQL") as status:
        async with database_server() as database, AsyncExitStack() as at_the_end:
            facts = machine.describe(plan, database, broker)
            environment = Environment(plan, database, broker.bootstrap_servers, status.update)
            at_the_end.push_async_callback(environment.delete_topics)
            figures = [figure for measurement in measurements for figure in await _MEASURE[measurement](environment)]
            profiles = await profiling.profile(environment) if profile else []
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(facts, table.terminal_table(figures), *profiles, highlight=False)
    if write:
        rows = table.markdown_table(table.COLUMNS, [figure.cells() for figure in figures])
        table.write_block(_README, f"{facts}\n\n{rows}")


if __name__ == "__main__":
    typer.run(main)
