"""Checkouts of this tree and of the last release, to run processes of both side by side."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

from contracts.releases import CHANGELOG, ROOT, releases


class NoRelease(Exception):
    """The last release cannot be run here. The text is a sentence that says why."""


def last_release(folder: Path) -> Path:
    """The files of the commit that CHANGELOG.md names last. Raises NoRelease in a clone without that commit."""
    last = releases(CHANGELOG.read_text(encoding="utf-8"))[-1]
    checkout = folder / f"release-{last.version}"
    packed = subprocess.run(["git", "archive", last.commit], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode != 0:
        raise NoRelease(f"release {last.version} is not run: its commit {last.commit} is not in this clone")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(checkout, filter="data")
    return checkout


def path_of(checkout: Path) -> str:
    """The PYTHONPATH with which `python -m oms` is that checkout's. Raises AssertionError when it is not."""
    found = subprocess.run(
        [sys.executable, "-c", "import messaging; print(messaging.__file__)"],
        env={"PYTHONPATH": str(checkout)},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert Path(found).is_relative_to(checkout), f"processes of {checkout} would run {found}"
    return str(checkout)
