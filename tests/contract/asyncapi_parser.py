"""The standard's own parser, a program for Node.js. Its packages are kept in the user's cache folder."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "asyncapi"
_PROGRAM = ("package.json", "package-lock.json", "parse.mjs")
_INSTALLED_WITHIN = 500.0
_PARSED_WITHIN = 200.0


class NoParser(Exception):
    """It cannot run on this machine. The text is a sentence that says why."""


def errors_and_warnings(*pages: Path) -> list[list[dict[str, Any]]]:
    """What the parser finds wrong in each page. Raises NoParser."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise NoParser("the standard's own parser is not asked: put Node.js and npm on the PATH")
    ended = subprocess.run(
        [node, "parse.mjs", *map(str, pages)],
        cwd=_installed(npm),
        capture_output=True,
        text=True,
        timeout=_PARSED_WITHIN,
        check=False,
    )
    assert ended.returncode == 0, f"the parser ended with {ended.returncode}: {ended.stderr}"
    found = json.loads(ended.stdout)
    return [[each for each in found[str(page)] if each["severity"] < 2] for page in pages]


def _installed(npm: str) -> Path:
    """The folder with the program and its packages, complete or not there at all."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "distributed-oms"
    version = hashlib.sha256(b"".join((FOLDER / name).read_bytes() for name in _PROGRAM)).hexdigest()[:16]
    folder = cache / f"asyncapi-parser-{version}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="asyncapi-parser-", dir=cache))
    try:
        for name in _PROGRAM:
            shutil.copy(FOLDER / name, made)
        command = [npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
        ended = subprocess.run(
            command, cwd=made, capture_output=True, text=True, timeout=_INSTALLED_WITHIN, check=False
        )
        if ended.returncode != 0:
            raise NoParser(f"the standard's own parser cannot be installed: {ended.stderr.strip()[-300:]}")
        made.rename(folder)
    except OSError:
        if not folder.exists():  # another process was faster
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder
