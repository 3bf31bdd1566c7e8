"""`python -m chaos.summary chaos-records/chaos-*.json`: what several campaigns have shown, as a table in Markdown."""

import json
from collections import Counter
from pathlib import Path
from statistics import quantiles
from typing import Annotated, Any

import typer

from chaos.faults import TYPES

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(records: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)]) -> None:
    """Add up the records of campaigns."""
    typer.echo(summary([json.loads(path.read_text()) for path in records]))


def summary(records: list[dict[str, Any]]) -> str:
    """The sums, and how often each fault was injected, by type."""
    rounds = [round_ for record in records for round_ in record["rounds"]]
    faults: Counter[str] = sum((Counter(record["injections"]) for record in records), Counter())
    orders: Counter[str] = sum((Counter(record["orders"]) for record in records), Counter())
    violated = sum(bool(round_["violations"]) for round_ in rounds)
    sums = (
        f"{len(records)} campaigns, {sum(record['seconds'] for record in records) / 60:.0f} minutes, "
        f"{len(rounds)} rounds, {sum(faults.values()):,} faults, {sum(orders.values()):,} orders, "
        f"{sum(round_['calls'] for round_ in rounds):,} calls, "
        f"{sum(round_['unknown'] for round_ in rounds):,} of them of unknown outcome; "
        f"{violated} rounds were not kept; {_recovery(rounds)}"
    )
    types: Counter[str] = Counter()
    for fault, count in faults.items():
        types[TYPES[fault]] += count
    by_type = [f"| {type_} | {types[type_]} | {_each(type_, faults)} |" for type_ in sorted(types)]
    return "\n".join([sums, "", "| type | injected | each |", "|---|---|---|", *by_type])


def _each(type_: str, faults: Counter[str]) -> str:
    return ", ".join(f"`{fault}` {count}" for fault, count in sorted(faults.items()) if TYPES[fault] == type_)


def _recovery(rounds: list[dict[str, Any]]) -> str:
    """The time from the last fault until everything agreed."""
    seconds = [round_["recovered_in"] for round_ in rounds if round_["recovered_in"] is not None]
    if len(seconds) < 2:
        return "too few rounds for quantiles"
    cuts = quantiles(seconds, n=100, method="inclusive")
    return f"everything agreed after {cuts[49]:.1f} s (p50), {cuts[98]:.1f} s (p99), {max(seconds):.1f} s (most)"


if __name__ == "__main__":
    app()
