"""`python -m tests.campaigns.attack`: attack, print a table, write a record, and end with 1 if there is a finding."""

import asyncio
import importlib.util
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.campaigns.attack import attacks
from tests.campaigns.attack.attacks import Result
from tests.campaigns.attack.decoders import TARGETS
from tests.campaigns.attack.target import target

console = Console(highlight=False)


def main(
    seconds: Annotated[int, typer.Option(help="Seconds for each decoder that is fuzzed.", min=1, max=86_400)] = 60,
    examples: Annotated[int, typer.Option(help="Examples a route.", min=1, max=10_000)] = 100,
    seed: Annotated[int, typer.Option(help="The seed of the fuzzers.", min=1)] = 1,
    write: Annotated[Path, typer.Option(help="Where the record is written.")] = Path("attack.json"),
) -> None:
    """Attack a system of its own on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        results = asyncio.run(_attack(Path(folder), seconds, examples, seed))
    write.write_text(json.dumps({"seed": seed, "results": [asdict(result) for result in results]}, indent=2))
    table = Table("attack", "tried", "findings", "measured")
    for result in results:
        table.add_row(result.attack, f"{result.tried:,} {result.what}", str(len(result.findings)), result.measured)
    console.print(table)
    for result in results:
        for finding in result.findings:
            console.print(f"{result.attack}: {finding}", markup=False)
    raise typer.Exit(1 if any(result.findings for result in results) else 0)


async def _attack(folder: Path, seconds: int, examples: int, seed: int) -> Sequence[Result]:
    results = []
    with target(folder) as on:
        for attack in (
            attacks.forged_tokens(on),
            attacks.wrong_keys(on),
            attacks.smuggled_requests(on),
            attacks.slow_clients(on),
            attacks.invented_requests(on, examples, folder, token=False),
            attacks.invented_requests(on, examples, folder, token=True),
        ):
            results.append(await attack)
            console.print(f"{results[-1].attack}: {len(results[-1].findings)} findings")
        if on.process.process is None or on.process.process.poll() is not None:
            results.append(Result("the process", 1, "process", [on.process.log[-2000:]]))
        if "Traceback" in on.process.log or '"level": "error"' in on.process.log:
            results.append(Result("the log", 1, "log", ["it has an error: " + on.process.log[-4000:]]))
    if importlib.util.find_spec("atheris") is None:
        console.print("atheris is not installed, so the decoders are not fuzzed: pip install atheris")
        return results
    for name in TARGETS:
        results.append(await attacks.fuzzed(name, seconds, seed, folder))
        console.print(f"{results[-1].attack}: {len(results[-1].findings)} findings")
    return results


if __name__ == "__main__":
    typer.run(main)
