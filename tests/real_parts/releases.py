"""Checkouts of this tree, of the last release and of any commit, to run processes of them side by side."""

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from contracts.releases import CHANGELOG, ROOT, releases


class NoCommit(Exception):
    """The commit is not in this clone. The text says which one."""


class NoRelease(Exception):
    """The last release cannot be run here. The text is a sentence that says why."""


def check_out(commit: str, checkout: Path) -> Path:
    """The files of a commit, in a folder of their own. Raises NoCommit."""
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode != 0:
        raise NoCommit(f"commit {commit} is not in this clone")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(checkout, filter="data")
    return checkout


def last_release(folder: Path) -> Path:
    """The files of the commit that CHANGELOG.md names last. Raises NoRelease in a clone without that commit."""
    last = releases(CHANGELOG.read_text(encoding="utf-8"))[-1]
    try:
        return check_out(last.commit, folder / f"release-{last.version}")
    except NoCommit as error:
        raise NoRelease(f"release {last.version} is not run: its {error}") from None


def as_in_the_image(folder: Path) -> Path:
    """This tree as its image has it: installed from the files that .dockerignore lets into the build."""
    source, installed = folder / "context", folder / "image"
    for pattern in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        for path in ROOT.glob(pattern[1:]) if pattern.startswith("!") else ():
            if path.is_dir():
                shutil.copytree(path, source / path.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                source.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, source)
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(installed), str(source))
    subprocess.run([sys.executable, *install], check=True)
    return installed


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
