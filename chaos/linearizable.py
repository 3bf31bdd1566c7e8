"""A second opinion on a history: Porcupine, a checker that knows nothing of ours, in `chaos/linearizability`.

Of each order it looks for one sequence of all clients' calls that respects their times and what the API promises. It is
a Go program, and optional: without Go, or without the module, a campaign goes on with its own checks and says so.
"""

import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

PORCUPINE = "porcupine"
_SOURCE = Path(__file__).parent / "linearizability"
_BUILT_WITHIN = 300.0
_CHECKED_WITHIN = 90.0  # the program gives up by itself after a minute
_SHOWN = 3
"""How many orders are written down with their calls; their number always is."""
_LINEARIZABLE, _NOT_LINEARIZABLE = 0, 1


class NotChecked(Exception):
    """There is no second opinion. The text is a sentence that says why."""


def fetch_modules() -> None:
    """Have what `build_checker` needs, also where there is no network later. Without it, building says what is
    missing."""
    if go := shutil.which("go"):
        _run([go, "mod", "download"], _BUILT_WITHIN)


def build_checker(folder: Path, within: float = _BUILT_WITHIN) -> Path:
    """Build the program into the folder. Raises NotChecked."""
    go = shutil.which("go")
    if go is None:
        raise NotChecked("histories are not checked by Porcupine: put Go on the PATH")
    program = folder / "linearizability"
    built = _run([go, "build", "-o", str(program), "."], within)
    if built.returncode != 0:
        raise NotChecked(f"histories are not checked by Porcupine: it cannot be built: {_one_line(built.stderr)}")
    return program


def not_linearizable(checker: Path, history: Path) -> list[str]:
    """Each order whose calls contradict one another, with its calls in their order. Raises NotChecked when orders were
    not decided in time, unless there are such orders, or when the history cannot be read."""
    checked = _run([str(checker), str(history.absolute())], _CHECKED_WITHIN)
    _, *said = checked.stdout.splitlines() or [""]
    if checked.returncode == _LINEARIZABLE:
        return []
    if checked.returncode == _NOT_LINEARIZABLE:
        found = _paragraphs(said)
        return found[:_SHOWN] + ([f"… and {len(found) - _SHOWN} more that Porcupine found"] if found[_SHOWN:] else [])
    raise NotChecked(f"Porcupine has not checked {history.name}: {_one_line(checked.stderr or checked.stdout)}")


def _run(command: list[str], within: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=_SOURCE, capture_output=True, text=True, check=False, timeout=within)
    except subprocess.TimeoutExpired:
        raise NotChecked(f"{Path(command[0]).name} of Porcupine took longer than {within:.0f} s") from None


def _paragraphs(lines: list[str]) -> list[str]:
    """The lines that begin one, each with the indented lines that follow it."""
    begins = [number for number, line in enumerate(lines) if not line.startswith(" ")]
    return ["\n".join(lines[begin:end]) for begin, end in pairwise([*begins, len(lines)])]


def _one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines()[-3:])
