"""`python -m tests.campaigns.exercise`: five faults, and a person who has only docs/operations.md to find each.

The real services run with their default settings, watched by a real Prometheus with the real rules, while orders come.
Five faults are injected one after the other, in an order that the seed decides, and nobody says which. The person
writes a line when a fault is found, and it is mended. The table at the end says what each was, which alerts had fired
and when, and what the person wrote. It needs root for a disk that can be full, the package `prometheus`, and a JDK with
Maven for the broker.
"""

import asyncio
import json
import random
import shlex
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated

import typer

from tests.campaigns.firing_faults import Inject, gateway_slow, killed, poisoned_order, transaction_open
from tests.campaigns.firing_stage import Stage, stage
from tests.campaigns.short_rules import real_rules
from tests.real_parts.small_disk import Disk, NoDisk, disk_in_memory

_DISK_MEGABYTES = 700
_HANGS_FOR, _SLOW = 900.0, 6.0
_SETTLES_WITHIN, _QUIET_WITHIN = 20.0, 330.0
_LOOK_AT_HOURS = ("Steadily", "Slowly", "OverBudget")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(slots=True)
class Round:
    """A fault, the seconds until each alert, and what the person wrote after how many seconds."""

    fault: str
    alerts: dict[str, float] = field(default_factory=dict)
    found_after: float | None = None
    answer: str = ""


@app.command()
def main(
    seed: Annotated[int, typer.Option(help="Decides the order of the faults.")],
    give_up: Annotated[float, typer.Option(help="Minutes until a fault that nobody finds is mended.")] = 10.0,
    write: Annotated[Path, typer.Option(help="Where the record is written at the end.")] = Path("exercise.json"),
) -> None:
    """Inject five faults, and let a person find each. Ends with status 1 if one was not found."""
    try:
        rounds = asyncio.run(_exercise(seed, give_up * 60))
    except (NoDisk, FileNotFoundError) as missing:
        typer.echo(missing, err=True)
        raise typer.Exit(1) from None
    write.write_text(json.dumps([asdict(one) for one in rounds], indent=2))
    for one in rounds:
        fired = ", ".join(f"{alert} {seconds:.0f} s" for alert, seconds in one.alerts.items()) or "no alert"
        found = f"found after {one.found_after:.0f} s: {one.answer}" if one.found_after else "not found"
        typer.echo(f"{one.fault}: {fired}; {found}")
    if any(one.found_after is None for one in rounds):
        raise typer.Exit(1)


async def _exercise(seed: int, give_up: float) -> list[Round]:
    rounds: list[Round] = []
    with disk_in_memory(_DISK_MEGABYTES, like=Path(gettempdir())) as disk:
        async with _written_lines() as lines, stage(real_rules(), {}, disk.folder) as on:
            _introduce(on)
            faults = _faults(disk)
            for name in random.Random(seed).sample(sorted(faults), len(faults)):
                await _until_quiet(on)
                typer.echo(f"fault {len(rounds) + 1} of {len(faults)} is in. Write a line that says what it is.")
                rounds.append(await _round(name, faults[name](on), on, lines, give_up))
                typer.echo("it is mended." if rounds[-1].found_after else "nobody found it, and it is mended.")
                if lines.at_eof():
                    break
    return rounds


def _faults(disk: Disk) -> dict[str, Inject]:
    return {
        "a consumer is down": lambda on: killed(on, "order-consumer"),
        "a key is poisoned": poisoned_order,
        "the gateway is slow": lambda on: gateway_slow(on, _SLOW),
        "a transaction hangs": lambda on: transaction_open(on, _HANGS_FOR),
        "a disk is full": lambda on: _disk_full(on, disk),
    }


@asynccontextmanager
async def _disk_full(on: Stage, disk: Disk) -> AsyncIterator[None]:
    """The database's disk has no room, and what is freed is taken again."""

    async def filling() -> None:
        while True:
            await asyncio.to_thread(disk.fill)
            await asyncio.sleep(1)

    full = asyncio.create_task(filling())
    try:
        yield
    finally:
        full.cancel()
        await asyncio.wait({full})
        disk.free()
        if not on.primary.is_running:
            await asyncio.to_thread(on.primary.start)


async def _round(
    name: str, fault: AbstractAsyncContextManager[None], on: Stage, lines: asyncio.StreamReader, give_up: float
) -> Round:
    before, this, began = await on.prometheus.firing(), Round(name), time.monotonic()
    async with fault:
        line = asyncio.create_task(lines.readline())
        while not line.done() and time.monotonic() - began < give_up:
            for alert in await on.prometheus.firing() - before - this.alerts.keys():
                this.alerts[alert] = round(time.monotonic() - began, 1)
            await asyncio.wait({line}, timeout=1)
        if line.done() and line.result():
            this.found_after, this.answer = round(time.monotonic() - began, 1), line.result().decode().strip()
        line.cancel()
    return this


async def _until_quiet(on: Stage) -> None:
    """Wait until the only alerts are those that look at hours. Windows of five minutes must pass for that."""
    until = time.monotonic() + _QUIET_WITHIN
    await asyncio.sleep(_SETTLES_WITHIN)
    while time.monotonic() < until:
        alerts = await on.prometheus.firing(or_about_to=True)
        if all(alert.endswith(_LOOK_AT_HOURS) for alert in alerts):
            break
        await asyncio.sleep(1)
    if firing := await on.prometheus.firing():
        typer.echo(f"still firing from before: {', '.join(sorted(firing))}")


def _introduce(on: Stage) -> None:
    typer.echo(f"Prometheus, with the alerts of deploy/prometheus/rules.yml: {on.prometheus.url}")
    for name, process in on.processes.items():
        typer.echo(f"{name}: {process.url}, its log is {process.log_file}")
    typer.echo(f"the log of PostgreSQL: {on.primary.log_file}")
    typer.echo("for `oms`: " + " ".join(f"{name}={shlex.quote(value)}" for name, value in on.environment.items()))


@asynccontextmanager
async def _written_lines() -> AsyncIterator[asyncio.StreamReader]:
    """What the person writes."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        yield reader
    finally:
        transport.close()


if __name__ == "__main__":
    app()
