"""`python -m tests.campaigns.firing`: each alert is shown firing by the fault that it is for.

A real Prometheus watches the real services. The rules are those of deploy/prometheus, with short windows and, where a
fault would take too long, low thresholds (short_rules.py). So the times here are those until the numbers tell; the
`for` of the rule comes on top. It needs the package `prometheus`, and a JDK with Maven for the broker.
"""

import asyncio
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tests.campaigns.firing_faults import FAULTS, Fault
from tests.campaigns.firing_stage import Stage, stage
from tests.campaigns.short_rules import short_rules

_SETTLES_WITHIN = 30.0
_WELL_WITHIN = 90.0
_LEVELS = {"DeadLetters"}  # they fire until an operator acts

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class Fired:
    """When an alert fired after its fault was injected. None: it did not. `before`: it fired already."""

    fault: str
    alert: str
    seconds: float | None
    before: bool


@app.command()
def main(
    only: Annotated[list[str] | None, typer.Option(help="Only faults whose name has this text.")] = None,
    within: Annotated[float, typer.Option(help="Seconds to wait for the alerts of a fault.")] = 240.0,
    write: Annotated[Path, typer.Option(help="Where the record is written.")] = Path("firing.json"),
) -> None:
    """Inject one fault after the other. Ends with status 1 if an alert did not fire."""
    chosen = [fault for fault in FAULTS if not only or any(text in fault.name for text in only)]
    fired = asyncio.run(_campaign(chosen, within, write))
    silent = [one.alert for one in fired if one.seconds is None]
    if silent:
        typer.echo(f"did not fire: {', '.join(silent)}")
        raise typer.Exit(1)


async def _campaign(faults: Sequence[Fault], within: float, write: Path) -> list[Fired]:
    fired: list[Fired] = []
    async with stage(short_rules()) as on:
        await asyncio.sleep(_SETTLES_WITHIN)  # the windows fill
        await _until_quiet(on)
        for fault in faults:
            fired += await _injected(on, fault, within)
            write.write_text(json.dumps(_record(fired), indent=2))
            await _until_quiet(on)
    return fired


async def _injected(on: Stage, fault: Fault, within: float) -> list[Fired]:
    before = await on.prometheus.firing()
    seconds: dict[str, float] = {}
    began = time.monotonic()
    async with fault.inject(on):
        while len(seconds) < len(fault.alerts) and time.monotonic() - began < within:
            for alert in (await on.prometheus.firing()) & set(fault.alerts) - seconds.keys():
                seconds[alert] = round(time.monotonic() - began, 1)
                typer.echo(f"{fault.name}: {alert} after {seconds[alert]:.1f} s")
            await asyncio.sleep(0.5)
    for alert in set(fault.alerts) - seconds.keys():
        typer.echo(f"{fault.name}: {alert} DID NOT FIRE")
    return [Fired(fault.name, alert, seconds.get(alert), alert in before) for alert in fault.alerts]


async def _until_quiet(on: Stage) -> None:
    """Wait until the system is well again, so that the next alerts are those of the next fault."""
    until = time.monotonic() + _WELL_WITHIN
    while await on.prometheus.firing() - _LEVELS and time.monotonic() < until:
        await asyncio.sleep(0.5)


def _record(fired: Sequence[Fired]) -> dict[str, object]:
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "alerts": [asdict(one) for one in fired],
    }


if __name__ == "__main__":
    app()
