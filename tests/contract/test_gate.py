"""The contract gate lets nothing pass that would break a consumer or a client of a release, and nothing else.

What a release promised is kept in docs/schemas. This tree is one of the trees that are looked at here.
"""

import copy
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import contracts.__main__ as command
from contracts.gate import broken_promises
from contracts.releases import (
    CHANGELOG,
    KEPT,
    PAGES,
    ROOT,
    Contracts,
    NoContracts,
    contracts_in,
    released,
    releases,
    text_at,
)
from docs.yaml_text import yaml_text
from tests.contract.contract_changes import (
    BAD,
    CREATED,
    GOOD,
    Changing,
    fields,
    message,
    no_longer_send,
    read,
    send_version_2,
)

TREE = contracts_in(ROOT / "docs", "this tree")
RELEASES = releases(CHANGELOG.read_text(encoding="utf-8"))


def _after(contracts: Contracts, *changes: Changing, of: str = "a tree") -> Contracts:
    asyncapi, openapi = (copy.deepcopy(dict(document)) for document in (contracts.asyncapi, contracts.openapi))
    for change in changes:
        change(asyncapi, openapi)
    return Contracts(of, asyncapi, openapi)


LAST = replace(TREE, of="1.2.3")


def test_this_tree_breaks_no_promise_of_a_release() -> None:
    broken = broken_promises(released(CHANGELOG.read_text(encoding="utf-8"), KEPT), TREE)

    assert broken == [], "\n".join(broken)


@pytest.mark.parametrize("name", BAD)
def test_a_change_that_breaks_somebody_is_one_sentence_that_says_what_and_what_to_do(name: str) -> None:
    change, said = BAD[name]

    broken = broken_promises([LAST], _after(LAST, change))

    assert any(said in sentence for sentence in broken), broken
    for sentence in broken:
        assert re.fullmatch(r"Since 1\.2\.3, [^\n]+ [^\n]+: [^\n]+\.", sentence)


@pytest.mark.parametrize("name", GOOD)
def test_a_change_that_breaks_nobody_passes(name: str) -> None:
    assert broken_promises([LAST], _after(LAST, GOOD[name])) == []


def test_a_version_that_the_last_release_called_deprecated_may_go_when_a_newer_one_is_sent() -> None:
    first = replace(TREE, of="1.0.0")
    second = _after(first, GOOD["the old version is deprecated beside the new one"], of="1.1.0")
    without = _after(second, lambda asyncapi, _: no_longer_send(asyncapi, CREATED))

    assert broken_promises([first, second], second) == []
    assert broken_promises([first, second], without) == []


def test_a_version_may_not_go_while_no_release_has_called_it_deprecated() -> None:
    first = replace(TREE, of="1.0.0")
    second = _after(first, lambda asyncapi, _: send_version_2(asyncapi), of="1.1.0")
    without = _after(second, lambda asyncapi, _: no_longer_send(asyncapi, CREATED))

    (sentence,) = broken_promises([first, second], without)

    assert sentence.startswith("Since 1.1.0, OrderCreatedEvent.v1 is no longer sent")


def test_an_operation_that_the_last_release_called_deprecated_may_go() -> None:
    last = _after(TREE, lambda _, openapi: openapi["paths"]["/products"]["get"].update(deprecated=True), of="1.0.0")
    without = _after(last, lambda _, openapi: openapi["paths"]["/products"].pop("get"))

    assert broken_promises([last], without) == []


def test_messages_of_every_release_are_read_and_not_only_those_of_the_last_one() -> None:
    """The field came with the second release. Messages of the first may still be on the topic."""
    first = replace(TREE, of="1.0.0")
    second = _after(
        first,
        lambda asyncapi, _: fields(asyncapi, "PaymentCaptured.v1").update(fee={"type": "string"}),
        lambda asyncapi, _: message(asyncapi, "PaymentCaptured.v1")["payload"]["required"].append("fee"),
        of="1.1.0",
    )
    tree = _after(
        second,
        lambda asyncapi, _: read(asyncapi, "order-service", "PaymentCaptured.v1")["required"].append("fee"),
    )

    assert broken_promises([second], tree) == []
    (sentence,) = broken_promises([first, second], tree)
    assert sentence.startswith("Since 1.0.0, fee of PaymentCaptured.v1 may be missing, but is read by order-service")


def test_a_problem_that_several_releases_know_is_said_once_and_names_the_last_of_them() -> None:
    change, _ = BAD["a field of an event is gone"]

    (sentence,) = broken_promises([replace(TREE, of="1.0.0"), replace(TREE, of="1.1.0")], _after(TREE, change))

    assert sentence.startswith("Since 1.1.0, ")


def test_every_release_that_names_its_commit_is_kept_and_nothing_else() -> None:
    kept = {folder.name for folder in KEPT.iterdir() if folder.is_dir()}

    assert kept == {release.version for release in RELEASES}
    assert "0.2.0" in kept


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)
def test_what_is_kept_of_a_release_is_what_its_commit_has(release: object) -> None:
    (of,) = [each for each in RELEASES if each == release]
    for page in PAGES:
        try:
            committed = text_at(of.commit, f"docs/{page}")
        except NoContracts as missing:
            pytest.skip(str(missing))
        assert (KEPT / of.version / page).read_text(encoding="utf-8") == committed


def test_releases_are_the_sections_that_begin_with_their_commit() -> None:
    changelog = (
        f"## [Unreleased]\n\n## [0.10.0] - 2026-12-01\n\nCommit `{'b' * 40}`. More.\n\n"
        f"## [0.9.0]\n\nCommit `{'a' * 40}`.\n\n## [0.1.0]\n\n### Added\n\nCommit `{'c' * 40}`.\n"
    )

    assert [(each.version, each.commit[0]) for each in releases(changelog)] == [("0.9.0", "a"), ("0.10.0", "b")]


def test_a_release_whose_contracts_are_not_kept_stops_the_gate_with_what_to_do(tmp_path: Path) -> None:
    changelog = f"## [0.9.0]\n\nCommit `{'a' * 40}`.\n"

    with pytest.raises(NoContracts, match=r"CHANGELOG.md names 0.9.0, but .* run `python -m contracts keep 0.9.0`"):
        released(changelog, tmp_path)
    with pytest.raises(NoContracts, match="nothing to compare with"):
        released("## [Unreleased]\n", tmp_path)


@pytest.mark.parametrize(("change", "status"), [(None, 0), ("a field of an event is gone", 1)])
def test_the_command_prints_a_sentence_for_each_and_says_so_with_its_status(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: str | None,
    status: int,
) -> None:
    """The tree is a folder without a history."""
    tree = _after(TREE, *([BAD[change][0]] if change else []))
    (tmp_path / "docs").mkdir()
    for page, document in zip(PAGES, (tree.asyncapi, tree.openapi), strict=True):
        (tmp_path / "docs" / page).write_text(yaml_text(document), encoding="utf-8")
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["contracts"])

    assert command.main() == status
    (printed,) = capsys.readouterr().out.splitlines()
    assert printed.startswith("Since " if change else "this tree keeps what 0.2.0")


def test_the_command_gives_its_status_also_when_nobody_reads_its_sentences() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "contracts"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_the_command_says_in_a_sentence_what_it_cannot_keep(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["contracts", "keep", "9.9.9"])

    assert command.main() == 1
    assert capsys.readouterr().err.startswith("CHANGELOG.md has no section of 9.9.9 that begins with its commit")
