"""A version is named in several files, which have to agree before it is released."""

import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "oms"
MANIFEST = ROOT / "deploy" / "kubernetes" / "small.yaml"


def version_of_the_tree() -> str:
    """The version in pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def chart_version(version: str) -> str:
    """The same as Semantic Versioning has it, which helm wants: 0.3.0-dev0 for 0.3.0.dev0."""
    return version.replace(".dev", "-dev")


def disagreements(version: str) -> Iterator[str]:
    """A sentence for each place that names another version."""
    chart = (CHART / "Chart.yaml").read_text(encoding="utf-8")
    for field, expected in (("version", chart_version(version)), ("appVersion", version)):
        (found,) = re.findall(rf'^{field}: "?([^"\n]+)"?$', chart, re.MULTILINE)
        if found != expected:
            yield f"pyproject.toml has version {version}, and {field} of Chart.yaml is {found}: set it to {expected}"
    images = set(re.findall(r"^ +image: (\S+)$", MANIFEST.read_text(encoding="utf-8"), re.MULTILINE))
    if images != {f"distributed-oms:{version}"}:
        yield f"deploy/kubernetes/small.yaml has the images {', '.join(sorted(images))}: run make manifests"


def problems_with_the_tree(version: str) -> Sequence[str]:
    """A sentence for each reason not to release the tree as it is."""
    return [*disagreements(version), *_changelog(version), *_uncommitted()]


def sections_of_the_changelog() -> Mapping[str, str]:
    """What CHANGELOG.md says about each version, and about `Unreleased`."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.findall(r"^## \[([^\]]+)\][^\n]*\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return {name: content.strip() for name, content in found}


def _changelog(version: str) -> Iterator[str]:
    sections = sections_of_the_changelog()
    if not sections.get(version):
        yield f"CHANGELOG.md says nothing about {version}: move what is unreleased under it"
    if sections.get("Unreleased"):
        yield f"CHANGELOG.md has unreleased changes: move them under {version}"


def _uncommitted() -> Iterator[str]:
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    if changed:
        yield f"{len(changed)} files are not committed, such as {changed[0][3:]}: commit them, or take them back"
