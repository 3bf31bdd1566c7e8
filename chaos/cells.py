"""`python -m chaos.cells`: the campaign in several cells side by side, each with faults of its own.

Each cell has its own brokers, databases, services, clients and network. They share the machine and its disk.
"""

import secrets
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer

_ENDS_WITHIN: Final = 30.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    cells: Annotated[int, typer.Option(min=2, max=8, help="So many cells.")] = 2,
    minutes: Annotated[float, typer.Option(min=0.1, max=600, help="Begin no round after this time.")] = 10,
    seed: Annotated[int | None, typer.Option(help="That of the first cell. The next one has the next.")] = None,
    records: Annotated[Path, typer.Option(help="Where records, histories and reports are written.")] = Path(
        "chaos-records"
    ),
) -> None:
    """Exit status 0: every promise was kept in every cell. Otherwise the highest one of the campaigns."""
    first = secrets.randbelow(10**6) if seed is None else seed
    records.mkdir(parents=True, exist_ok=True)
    reports = [records / f"cell-{cell}.txt" for cell in range(cells)]
    with ExitStack() as stack:
        campaigns = [
            stack.enter_context(_Campaign(cell, first + cell, minutes, records, report))
            for cell, report in enumerate(reports)
        ]
        statuses = [campaign.status() for campaign in campaigns]
    for cell, (status, report) in enumerate(zip(statuses, reports, strict=True)):
        last = (report.read_text().strip().splitlines() or ["it has said nothing"])[-1]
        typer.echo(f"cell {cell}, exit status {status}: {last}")
    raise typer.Exit(max(statuses))


class _Campaign:
    """`python -m chaos` for one cell. Leaving ends it, with all that it has started."""

    def __init__(self, cell: int, seed: int, minutes: float, records: Path, report: Path) -> None:
        options = {"cell": cell, "seed": seed, "minutes": minutes, "records": records}
        arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
        with report.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chaos", *arguments], stdout=output, stderr=subprocess.STDOUT
            )

    def __enter__(self) -> "_Campaign":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def status(self) -> int:
        """Wait for its end, and return its exit status as a shell tells it."""
        return abs(self._process.wait())


if __name__ == "__main__":
    app()
