"""The locked dependencies and the published advisories, compared by pip-audit."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from deploy.release.version import ROOT

ACCEPTED = Path(__file__).with_name("accepted.toml")
_WITHIN = 300.0


def audit() -> Sequence[str]:
    """A sentence for each finding that is not accepted. Where there are no advisories to compare with, this says so,
    and it is no problem of the tree."""
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--requirement", "requirements.lock", "--require-hashes"),
            *("--disable-pip", "--progress-spinner", "off", "--format", "json"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=_WITHIN,
    )
    try:
        dependencies = json.loads(ended.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        print(f"the dependencies are not audited: {' '.join(ended.stderr.split())[-300:]}")
        return []
    audited = [one for one in dependencies if "vulns" in one]
    if not audited:
        print(f"the dependencies are not audited: the index has no advisories for any of the {len(dependencies)}")
        return []
    problems = list(findings(audited, tomllib.loads(ACCEPTED.read_text(encoding="utf-8")), datetime.now(UTC).date()))
    if not problems:
        print(f"{len(audited)} of {len(dependencies)} dependencies are audited, and nothing is found")
    return problems


def findings(audited: Sequence[Mapping[str, Any]], accepted: Mapping[str, Any], today: date) -> Iterator[str]:
    """A sentence for each advisory that is not accepted, or no longer, and for each acceptance that nobody needs."""
    found = {vulnerability["id"]: (one, vulnerability) for one in audited for vulnerability in one["vulns"]}
    for identifier, (one, vulnerability) in found.items():
        what = f"{one['name']} {one['version']}"
        until = accepted.get(identifier, {}).get("until")
        fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
        if until is None:
            yield f"{what}: {identifier}, fixed in {fixed}: update it, or accept it in {ACCEPTED.name}"
        elif until < today:
            yield f"{what}: {identifier} was accepted until {until}; it is fixed in {fixed}"
    for identifier in sorted(set(accepted) - set(found)):
        yield f"{identifier} is accepted in {ACCEPTED.name}, and is not found any more: take it out"
