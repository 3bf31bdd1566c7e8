"""`python -m tests.campaigns.failover`: what a failover and a restore lose, and how long they take.

Everything runs on this machine. Nothing decides here whether a primary is lost: the promotion begins at once. What a
failover manager needs to decide that comes on top. The part with a restore needs a broker.
"""

import asyncio
import json
import platform
from collections.abc import Awaitable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from tests.campaigns.promotions import SCENARIOS, Outcome, promotion
from tests.campaigns.restore import Restored, restore
from tests.real_parts.kafka import NoBroker, kafka_broker

_ROUND_WITHIN = 600.0
_RESTORES = {"offsets set back": True, "offsets as they were": False}
_Round = TypeVar("_Round")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False)


@app.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often each case is tried.")] = 3,
    promotions: Annotated[bool, typer.Option(help="Lose the primary, and promote its standby.")] = True,
    restores: Annotated[bool, typer.Option(help="Restore from a backup; needs a broker.")] = True,
    write: Annotated[Path, typer.Option(help="Where the record is written.")] = Path("failover.json"),
) -> None:
    """Print a table of the medians, and write every round as JSON."""
    scenarios = SCENARIOS if promotions else ()
    failovers = {one.name: [_round(one.name, promotion(one)) for _ in range(rounds)] for one in scenarios}
    restored = _restores(rounds) if restores else {}
    write.write_text(json.dumps(_record(rounds, failovers, restored), indent=2))
    if failovers:
        console.print(_failover_table(failovers))
    if restored:
        console.print(_restore_table(restored))
    console.print(f"every round: {write}")


def _round(name: str, one: Awaitable[_Round]) -> _Round:
    async def bounded() -> _Round:
        async with asyncio.timeout(_ROUND_WITHIN):
            return await one

    outcome = asyncio.run(bounded())
    console.print(f"{name}: {outcome}", soft_wrap=True)
    return outcome


def _restores(rounds: int) -> dict[str, list[Restored]]:
    try:
        with kafka_broker() as broker:
            return {
                name: [_round(name, restore(broker, offsets_set_back=back)) for _ in range(rounds)]
                for name, back in _RESTORES.items()
            }
    except NoBroker as missing:
        console.print(f"no restore: {missing}")
        return {}


def _record(rounds: int, failovers: dict[str, list[Outcome]], restored: dict[str, list[Restored]]) -> dict[str, Any]:
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "rounds": rounds,
        "failovers": {name: [asdict(one) for one in outcomes] for name, outcomes in failovers.items()},
        "restores": {name: [asdict(one) for one in outcomes] for name, outcomes in restored.items()},
    }


def _failover_table(failovers: dict[str, list[Outcome]]) -> Table:
    table = Table("the primary is lost", "accepted", "lost", "lost, but published", "promotion, s", "then first 201, s")
    for name, outcomes in failovers.items():
        table.add_row(
            name,
            str(sum(one.accepted for one in outcomes)),
            str(sum(one.lost for one in outcomes)),
            str(sum(one.published for one in outcomes)),
            _spread([one.promotion for one in outcomes]),
            _spread([one.first_after_promotion for one in outcomes]),
        )
    return table


def _restore_table(restored: dict[str, list[Restored]]) -> Table:
    table = Table(
        "restored",
        "accepted",
        "lost",
        "still held",
        "under way",
        "… confirmed",
        "restore, s",
        "first 201, s",
        "ended, s",
    )
    for name, outcomes in restored.items():
        table.add_row(
            name,
            str(sum(one.accepted for one in outcomes)),
            str(sum(one.lost for one in outcomes)),
            str(sum(one.held + one.paid for one in outcomes)),
            str(sum(one.under_way for one in outcomes)),
            str(sum(one.ended.get("CONFIRMED", 0) for one in outcomes)),
            _spread([one.restore for one in outcomes]),
            _spread([one.without_orders for one in outcomes]),
            _spread([one.until_all_ended for one in outcomes]),
        )
    return table


def _spread(seconds: list[float]) -> str:
    return f"{median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"


if __name__ == "__main__":
    app()
