"""What is released: one version everywhere, an image made of certain parts, and dependencies that are audited."""

import os
import re
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.release import helm, parts, version
from deploy.release.audit import ACCEPTED, findings
from deploy.release.version import (
    ROOT,
    chart_version,
    disagreements,
    problems_with_the_tree,
    sections_of_the_changelog,
    version_of_the_tree,
)

DOCKERFILE = (ROOT / "Dockerfile").read_text()
TODAY = date(2026, 11, 26)


def test_the_chart_and_the_manifest_are_of_this_version() -> None:
    assert [*disagreements(version_of_the_tree())] == []


def test_a_tree_with_unreleased_changes_does_not_call_itself_a_release() -> None:
    sections = sections_of_the_changelog()
    assert not sections["Unreleased"] or not sections.get(version_of_the_tree())


def test_a_chart_names_a_version_as_helm_wants_it() -> None:
    assert [chart_version(one) for one in ("0.3.0", "0.3.0.dev0")] == ["0.3.0", "0.3.0-dev0"]


def test_another_version_is_noticed_in_each_place() -> None:
    found = [*disagreements("9.9.9")]
    assert [
        place for place in ("appVersion of", "version of", "small.yaml") if not any(place in one for one in found)
    ] == []


def test_a_tree_with_unreleased_changes_is_not_released(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n\n- something\n\n## [0.1.0] - 2026-01-01\n\n- the first\n")
    monkeypatch.setattr(version, "ROOT", tmp_path)
    monkeypatch.setattr(version, "disagreements", lambda _: [])
    monkeypatch.setattr(version, "_uncommitted", list)

    assert problems_with_the_tree("0.2.0") == [
        "CHANGELOG.md says nothing about 0.2.0: move what is unreleased under it",
        "CHANGELOG.md has unreleased changes: move them under 0.2.0",
    ]


def test_the_image_is_built_in_two_stages_on_a_base_of_a_certain_digest() -> None:
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"python:[\d.]+-slim@sha256:[0-9a-f]{64}", base)
    assert re.findall(r"^FROM (.+)$", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]
    assert "--require-hashes -r requirements.lock" in DOCKERFILE
    built = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["migrate"]["build"]["args"]
    assert built["PYTHON_IMAGE"] == f"${{PYTHON_IMAGE:-{base.partition('@')[0]}}}"


def test_the_image_is_not_root_and_starts_without_a_shell() -> None:
    _, _, last = DOCKERFILE.rpartition("\nFROM ")
    assert re.findall(r"^USER (\d+)$", last, re.MULTILINE) == ["10001"]
    started = re.findall(r"^(?:ENTRYPOINT|\s+CMD) (.*)$", last, re.MULTILINE)
    assert len(started) == 2
    assert all(command.startswith("[") and "sh" not in command for command in started)


def test_the_image_says_what_it_is() -> None:
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", DOCKERFILE))
    assert labels >= {"title", "description", "licenses", "version", "revision"}
    license_of_the_tree = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    assert f'licenses="{license_of_the_tree}"' in DOCKERFILE
    assert (ROOT / "LICENSE").read_text().startswith(f"{license_of_the_tree} License")


@pytest.mark.parametrize(
    ("mirror", "named"),
    [("", []), ("mirror.example/python:3.13-slim", ["PYTHON_IMAGE=mirror.example/python:3.13-slim"])],
)
def test_the_image_is_built_on_the_base_of_the_dockerfile_or_on_the_one_that_is_named(
    mirror: str, named: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$0.asked"\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHON_IMAGE", mirror)

    assert parts.image("1.2.3") == []

    asked = (tmp_path / "docker.asked").read_text().splitlines()
    assert [word for word in asked if word.startswith("PYTHON_IMAGE")] == named
    assert "distributed-oms:1.2.3" in asked


def test_a_module_that_an_earlier_build_left_behind_is_in_no_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    left = tmp_path / "build" / "lib" / "oms" / "removed_since.py"
    left.parent.mkdir(parents=True)
    left.touch()
    monkeypatch.setattr(parts, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "executable", "false")

    parts.wheel("1.2.3")

    assert not left.exists()


def test_the_chart_is_packaged_by_the_helm_that_make_helm_has_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built = tmp_path / "helm-of-the-cache"
    built.write_text('#!/bin/sh\ntouch "$4/oms-1.2.3.tgz"\n')
    built.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(helm, "_BUILT", built)
    monkeypatch.setattr(parts, "DIST", tmp_path)

    assert parts.chart("1.2.3") == []


def test_a_chart_without_helm_is_a_sentence_that_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(helm, "_BUILT", tmp_path / "nowhere")

    (problem,) = parts.chart("1.2.3")

    assert "the chart is not packaged" in problem
    assert "`make helm`" in problem


def _dependency(*advisories: str) -> dict[str, Any]:
    return {
        "name": "parser",
        "version": "1.0",
        "vulns": [{"id": identifier, "fix_versions": ["1.1"]} for identifier in advisories],
    }


def test_a_finding_is_a_problem_until_it_is_accepted() -> None:
    accepted = {"GHSA-1": {"reason": "not reached", "until": date(2026, 12, 31)}}

    assert [*findings([_dependency("GHSA-1", "GHSA-2")], accepted, TODAY)] == [
        "parser 1.0: GHSA-2, fixed in 1.1: update it, or accept it in accepted.toml"
    ]


def test_an_acceptance_ends_on_its_day_and_goes_when_nobody_needs_it() -> None:
    accepted = {name: {"reason": "not reached", "until": date(2026, 11, 25)} for name in ("GHSA-1", "GHSA-3")}

    assert [*findings([_dependency("GHSA-1")], accepted, TODAY)] == [
        "parser 1.0: GHSA-1 was accepted until 2026-11-25; it is fixed in 1.1",
        "GHSA-3 is accepted in accepted.toml, and is not found any more: take it out",
    ]


def test_each_acceptance_has_a_reason_and_a_day() -> None:
    for identifier, acceptance in tomllib.loads(ACCEPTED.read_text()).items():
        assert set(acceptance) == {"reason", "until"}, identifier
        assert isinstance(acceptance["until"], date), identifier
