"""`python -m simulation.mutation`: breaks the product in one place after another, and the simulation must notice it.

A mutant is a patch in `mutants`. Its first line says what it breaks. It is applied to a copy of the tree.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from chaos.record import commit

MUTANTS = Path(__file__).parent / "mutants"
_TREE = Path(__file__).parents[1]
_LONGEST = 7200.0
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", "data", "*-records", ".mypy_cache", ".ruff_cache")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant. `seed` is the first one that has noticed it, and `noticed` is what it said."""

    mutant: str
    breaks: str
    seed: int | None
    noticed: str


@app.command()
def main(
    only: Annotated[str, typer.Option(help="Only these, with commas.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="So many histories before a mutant counts as alive.")] = 2000,
    orders: Annotated[int, typer.Option(min=1, help="The orders of a history.")] = 60,
    jobs: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
    records: Annotated[Path, typer.Option(help="Where the record is written.")] = Path("simulation-records"),
) -> None:
    """Exit status 0: every mutant was noticed. 1: one is alive, which is a hole in the simulation."""
    chosen = only.split(",") if only else names()
    if unknown := sorted(set(chosen) - set(names())):
        raise typer.BadParameter(f"there is no {', '.join(unknown)} in {MUTANTS}")
    verdicts = []
    for name in chosen:
        verdict = judge(name, seeds, orders, jobs)
        verdicts.append(verdict)
        what = "ALIVE" if verdict.seed is None else f"seed {verdict.seed}"
        typer.echo(f"{name:36} {what:10} {verdict.noticed[:150]}")
        records.mkdir(parents=True, exist_ok=True)
        (records / "mutants.json").write_text(
            json.dumps(
                {
                    "commit": commit(),
                    "orders": orders,
                    "seeds": seeds,
                    "verdicts": [asdict(each) for each in verdicts],
                },
                indent=1,
            )
        )
    alive = [verdict.mutant for verdict in verdicts if verdict.seed is None]
    typer.echo(f"{len(verdicts)} mutants, {len(alive)} alive{': ' if alive else ''}{', '.join(alive)}")
    raise typer.Exit(1 if alive else 0)


def names() -> list[str]:
    """All mutants."""
    return sorted(path.stem for path in MUTANTS.glob("*.patch"))


def judge(name: str, seeds: int, orders: int, jobs: int, within: float = _LONGEST) -> Verdict:
    """Run histories of a mutant until one of them notices it. Raises TimeoutExpired after so many seconds."""
    patch = MUTANTS / f"{name}.patch"
    breaks = patch.read_text().splitlines()[0]
    with tempfile.TemporaryDirectory(prefix="oms-mutant-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(_TREE, tree, ignore=_LEFT_OUT)
        subprocess.run(["git", "apply", str(patch)], cwd=tree, check=True)
        run = [sys.executable, "-m", "simulation", "--stop", "--no-shorten", "--records", folder]
        with subprocess.Popen(
            [*run, "--seeds", str(seeds), "--orders", str(orders), "--jobs", str(jobs)],
            cwd=tree,
            env=os.environ | {"PYTHONPATH": str(tree)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as found:
            try:
                _, errors = found.communicate(timeout=within)
            except subprocess.TimeoutExpired:
                os.killpg(found.pid, signal.SIGKILL)  # with the processes of its histories
                raise
        if found.returncode == 0:
            return Verdict(name, breaks, None, "")
        (record,) = [json.loads(path.read_text()) for path in Path(folder).glob("simulation-*.json")] or [None]
        if record is None:
            raise RuntimeError(f"the simulation of {name} did not run: {errors[-2000:]}")
        seed, (noticed, *_) = next(iter(record["violations"].items()))
        return Verdict(name, breaks, int(seed), noticed)


if __name__ == "__main__":
    app()
