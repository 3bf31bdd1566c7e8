"""A version is named in several files, which have to agree before it is released."""

import re
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "oms"
MANIFEST = ROOT / "deploy" / "kubernetes" / "small.yaml"


def version_of_the_tree() -> str:
    """The version in pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def disagreements(version: str) -> Iterator[str]:
    """A sentence for each place that names another version."""
    chart = (CHART / "Chart.yaml").read_text(encoding="utf-8")
    for field in ("version", "appVersion"):
        (found,) = re.findall(rf'^{field}: "?([^"\n]+)"?$', chart, re.MULTILINE)
        if found != version:
            yield f"pyproject.toml has version {version}, and {field} of Chart.yaml is {found}: set both alike"
    images = set(re.findall(r"^ +image: (\S+)$", MANIFEST.read_text(encoding="utf-8"), re.MULTILINE))
    if images != {f"distributed-oms:{version}"}:
        yield f"deploy/kubernetes/small.yaml has the images {', '.join(sorted(images))}: run make manifests"


def problems_with_the_tree(version: str) -> Sequence[str]:
    """A sentence for each reason not to release the tree as it is."""
    return [*disagreements(version), *_changelog(version), *_uncommitted()]


def _changelog(version: str) -> Iterator[str]:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## \[([^\]]+)\][^\n]*\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    if not sections.get(version, "").strip():
        yield f"CHANGELOG.md says nothing about {version}: move what is unreleased under it"
    if sections.get("Unreleased", "").strip():
        yield f"CHANGELOG.md has unreleased changes: move them under {version}"


def _uncommitted() -> Iterator[str]:
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    if changed:
        yield f"{len(changed)} files are not committed, such as {changed[0][3:]}: commit them, or take them back"
