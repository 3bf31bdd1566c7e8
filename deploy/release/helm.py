"""helm, from the PATH or built by Go into the user's cache folder; and `make manifests`, which writes what it says."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.release.version import CHART, MANIFEST

VERSION = "4.3.1"
_MODULE = f"helm.sh/helm/v4/cmd/helm@v{VERSION}"
_BUILT_WITHIN = 1500.0
_RENDERED_WITHIN = 120.0

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "distributed-oms"
_BUILT = _CACHE / f"helm-{VERSION}" / "helm"

EXAMPLES = {path.stem: path for path in sorted((CHART / "examples").glob("*.yaml"))}
NAMESPACE = "oms"


class NoHelm(Exception):
    """It cannot run here. The text is a sentence that says why."""


class Refused(Exception):
    """helm's own words."""


def helm() -> Path:
    """The program. Raises NoHelm."""
    if found := shutil.which("helm"):
        return Path(found)
    if _BUILT.exists():
        return _BUILT
    raise NoHelm("helm is not there: put it on the PATH, or let `make helm` build it")


def build_helm() -> Path:
    """The same, built if it is not there, which takes some minutes. Raises NoHelm."""
    try:
        return helm()
    except NoHelm:
        go = shutil.which("go")
    if go is None:
        raise NoHelm("helm is not built: put Go on the PATH")
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "helm.lock").open("ab") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not _BUILT.exists():
            _build(go, _BUILT, _CACHE)
    return _BUILT


def _build(go: str, program: Path, cache: Path) -> None:
    made = Path(tempfile.mkdtemp(prefix="helm-", dir=cache))
    try:
        ended = subprocess.run(
            [go, "install", "-trimpath", "-ldflags", "-s -w", _MODULE],
            env=os.environ | {"GOBIN": str(made), "GOFLAGS": "-buildvcs=false"},
            capture_output=True,
            text=True,
            timeout=_BUILT_WITHIN,
            check=False,
        )
        if ended.returncode != 0:
            raise NoHelm(f"helm is not built: Go says: {ended.stderr.strip()[-300:]}")
        program.parent.mkdir(exist_ok=True)
        (made / "helm").rename(program)
    except subprocess.TimeoutExpired:
        raise NoHelm(f"helm is not built: Go was not done within {_BUILT_WITHIN:.0f} s") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


def template(*options: str, values: Sequence[Path] = ()) -> str:
    """What `helm template` prints. Raises NoHelm, Refused."""
    files = [part for path in values for part in ("--values", str(path))]
    return run("template", "oms", str(CHART), "--namespace", NAMESPACE, *files, *options)


def run(*arguments: str) -> str:
    """What helm prints. Raises NoHelm, Refused."""
    ended = subprocess.run([helm(), *arguments], capture_output=True, text=True, check=False, timeout=_RENDERED_WITHIN)
    if ended.returncode != 0:
        raise Refused(ended.stderr + ended.stdout)
    return ended.stdout


def manifest() -> str:
    """The content of deploy/kubernetes/small.yaml."""
    return (
        "# Written by `make manifests` from deploy/helm/oms with examples/small.yaml, for clusters without helm:\n"
        "# docs/deployment.md says what to change, and how to apply it.\n" + template(values=[EXAMPLES["small"]])
    )


def main(task: str) -> None:
    """`build` has helm ready where Go is; `write` writes deploy/kubernetes."""
    try:
        program = build_helm()
    except NoHelm as reason:
        sys.exit(str(reason) if task == "write" else print(reason))
    print(program)
    if task == "write":
        MANIFEST.parent.mkdir(exist_ok=True)
        MANIFEST.write_text(manifest())


if __name__ == "__main__":
    main(*sys.argv[1:])
