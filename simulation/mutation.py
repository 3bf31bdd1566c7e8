"""`python -m simulation.mutation`: breaks the product in one place after another, and the simulation must notice it.

A mutant is a patch in `mutants`. Its first line says what it breaks, and its second line names a test that fails then,
which `--tests` shows. It is applied to a copy of the tree.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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


@dataclass(frozen=True, slots=True)
class Tested:
    """Whether the test of a mutant fails."""

    mutant: str
    test: str
    fails: bool


@app.command()
def main(
    only: Annotated[str, typer.Option(help="Only these, with commas.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="So many histories before a mutant counts as alive.")] = 2000,
    orders: Annotated[int, typer.Option(min=1, help="The orders of a history.")] = 60,
    jobs: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
    tests: Annotated[bool, typer.Option("--tests", help="Run the test of each, and no histories.")] = False,
    records: Annotated[Path, typer.Option(help="Where the record is written.")] = Path("simulation-records"),
) -> None:
    """Exit status 0: every mutant was noticed. 1: one is alive, which is a hole in the simulation or in the tests."""
    chosen = only.split(",") if only else names()
    if unknown := sorted(set(chosen) - set(names())):
        raise typer.BadParameter(f"there is no {', '.join(unknown)} in {MUTANTS}")
    alive = _run_tests(chosen, records) if tests else _run_histories(chosen, seeds, orders, jobs, records)
    typer.echo(f"{len(chosen)} mutants, {len(alive)} alive{': ' if alive else ''}{', '.join(alive)}")
    raise typer.Exit(1 if alive else 0)


def _run_histories(chosen: Sequence[str], seeds: int, orders: int, jobs: int, records: Path) -> list[str]:
    verdicts = []
    for name in chosen:
        verdict = judge(name, seeds, orders, jobs)
        verdicts.append(verdict)
        what = "ALIVE" if verdict.seed is None else f"seed {verdict.seed}"
        typer.echo(f"{name:36} {what:10} {verdict.noticed[:150]}")
        of_run = {"commit": commit(), "orders": orders, "seeds": seeds}
        _write(records / "mutants.json", of_run | {"verdicts": [asdict(each) for each in verdicts]})
    return [verdict.mutant for verdict in verdicts if verdict.seed is None]


def _run_tests(chosen: Sequence[str], records: Path) -> list[str]:
    verdicts = []
    with _copy_of_the_tree() as tree:
        if failed := _failures(tree, *{test_of(name) for name in chosen}):
            raise RuntimeError(f"a test of a mutant fails without the mutant, too: {failed}")
    for name in chosen:
        with _copy_of_the_tree() as tree:
            _mutate(tree, name)
            verdict = Tested(name, test_of(name), bool(_failures(tree, test_of(name))))
        verdicts.append(verdict)
        typer.echo(f"{name:36} {'fails' if verdict.fails else 'ALIVE':6} {verdict.test}")
        _write(records / "mutant-tests.json", {"commit": commit(), "verdicts": [asdict(each) for each in verdicts]})
    return [verdict.mutant for verdict in verdicts if not verdict.fails]


def _write(path: Path, record: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1))


def names() -> list[str]:
    """All mutants."""
    return sorted(path.stem for path in MUTANTS.glob("*.patch"))


def test_of(name: str) -> str:
    """The test that notices a mutant, as pytest names it."""
    return (MUTANTS / f"{name}.patch").read_text().splitlines()[1].removeprefix("Test: ")


@contextmanager
def _copy_of_the_tree() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="oms-mutant-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(_TREE, tree, ignore=_LEFT_OUT)
        yield tree


def _mutate(tree: Path, name: str) -> None:
    subprocess.run(["git", "apply", str(MUTANTS / f"{name}.patch")], cwd=tree, check=True)


def _failures(tree: Path, *tests: str) -> str:
    """What pytest says of tests that fail in this tree. Raises RuntimeError when one does not run, TimeoutExpired."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", *sorted(tests)],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        timeout=_LONGEST,
        check=False,
    )
    counts = run.stdout.splitlines()[-1] if run.stdout else ""
    if re.search(r"\b(skipped|errors?)\b", counts) or not re.search(r"\b(passed|failed)\b", counts):
        raise RuntimeError(f"{', '.join(tests)} did not run: {run.stdout[-2000:]}{run.stderr[-2000:]}")
    return run.stdout[-2000:] if "failed" in counts else ""


def judge(name: str, seeds: int, orders: int, jobs: int, within: float = _LONGEST) -> Verdict:
    """Run histories of a mutant until one of them notices it. Raises TimeoutExpired after so many seconds."""
    breaks = (MUTANTS / f"{name}.patch").read_text().splitlines()[0]
    with _copy_of_the_tree() as tree:
        _mutate(tree, name)
        folder = tree.parent
        run = [sys.executable, "-m", "simulation", "--stop", "--no-shorten", "--records", str(folder)]
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
        (record,) = [json.loads(path.read_text()) for path in folder.glob("simulation-*.json")] or [None]
        if record is None:
            raise RuntimeError(f"the simulation of {name} did not run: {errors[-2000:]}")
        seed, (noticed, *_) = next(iter(record["violations"].items()))
        return Verdict(name, breaks, int(seed), noticed)


if __name__ == "__main__":
    app()
