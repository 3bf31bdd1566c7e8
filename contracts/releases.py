"""Releases: the commits that CHANGELOG.md names with their version, and the contracts that docs/schemas keeps of them.

A clone need not have tags or history: the kept contracts are enough.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CHANGELOG = ROOT / "CHANGELOG.md"
KEPT = ROOT / "docs" / "schemas"
PAGES = ("asyncapi.yaml", "openapi.yaml")

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with it
_SECTION = re.compile(r"^## \[(\d+\.\d+\.\d+)\][^\n]*\n\s*Commit `([0-9a-f]{40})`", re.MULTILINE)


class NoContracts(Exception):
    """A release's contracts are not there. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Release:
    """A version and its commit."""

    version: str
    commit: str

    @property
    def order(self) -> tuple[int, ...]:
        """Later releases have a higher one."""
        return tuple(map(int, self.version.split(".")))


@dataclass(frozen=True, slots=True)
class Contracts:
    """What a release, or this tree, promises: its two documents. `of` is a version, or a word for the tree."""

    of: str
    asyncapi: Mapping[str, Any]
    openapi: Mapping[str, Any]


def releases(changelog: str) -> Sequence[Release]:
    """The releases that name their commit, from the first to the last."""
    return sorted((Release(*found) for found in _SECTION.findall(changelog)), key=lambda release: release.order)


def contracts_in(folder: Path, of: str) -> Contracts:
    """The documents in a folder. Raises NoContracts."""
    try:
        texts = [(folder / page).read_text(encoding="utf-8") for page in PAGES]
    except OSError as error:
        raise NoContracts(f"{error.filename} cannot be read: {error.strerror}") from None
    asyncapi, openapi = (yaml.load(text, _Loader) for text in texts)  # noqa: S506  it is a safe one
    return Contracts(of, asyncapi, openapi)


def released(changelog: str, kept: Path) -> Sequence[Contracts]:
    """The contracts of every release, from the first to the last. Raises NoContracts."""
    found = []
    for release in releases(changelog):
        folder = kept / release.version
        if not folder.is_dir():
            raise NoContracts(
                f"CHANGELOG.md names {release.version}, but {folder.name} is not in docs/schemas: run "
                f"`python -m contracts keep {release.version}` and commit the folder"
            )
        found.append(contracts_in(folder, release.version))
    if not found:
        raise NoContracts("CHANGELOG.md names no release with its commit, so there is nothing to compare with")
    return found


def keep(version: str) -> Path:
    """Write the contracts of a release to docs/schemas, as its commit has them. Raises NoContracts."""
    named = [release for release in releases(CHANGELOG.read_text(encoding="utf-8")) if release.version == version]
    if not named:
        raise NoContracts(f"CHANGELOG.md has no section of {version} that begins with its commit, as in `Commit `…`.`")
    texts = {page: text_at(named[0].commit, f"docs/{page}") for page in PAGES}
    folder = KEPT / version
    folder.mkdir(exist_ok=True)
    for page, text in texts.items():
        (folder / page).write_text(text, encoding="utf-8")
    return folder


def text_at(commit: str, path: str) -> str:
    """A file as a commit has it. Raises NoContracts, also in a clone without the history."""
    shown = subprocess.run(  # noqa: S603  a hash from CHANGELOG.md and a name of ours
        ["git", "show", f"{commit}:{path}"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    if shown.returncode != 0:
        raise NoContracts(f"{path} of the commit {commit} is not in this clone: {shown.stderr.strip()}")
    return shown.stdout
