"""The alerts: each fires and is quiet when it should, asks for metrics that are there, and leads to a runbook."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.campaigns.firing_faults import FAULTS
from tests.campaigns.short_rules import short_rules
from tests.deploy.exported import problems_with
from tests.docs.test_links import anchors

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
CASES = [RULES.with_name("rules_test.yml"), RULES.with_name("rules_slow_test.yml")]
OPERATIONS = ROOT / "docs" / "operations.md"
_TESTED_WITHIN = 300.0


def _all_rules() -> Iterator[Mapping[str, Any]]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from group["rules"]


def _rules(kind: str) -> Iterator[Mapping[str, Any]]:
    return (rule for rule in _all_rules() if kind in rule)


ALERTS = {alert["alert"]: alert for alert in _rules("alert")}


def _promtool(*arguments: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing; it comes with the package `prometheus`")
    ended = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False, timeout=_TESTED_WITHIN)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_prometheus_accepts_the_rules() -> None:
    _promtool("check", "rules", str(RULES))


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_each_alert_fires_and_is_quiet_when_it_should(cases: Path) -> None:
    _promtool("test", "rules", str(cases))


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet(alert: str) -> None:
    names = [case["name"] for cases in CASES for case in yaml.safe_load(cases.read_text())["tests"]]

    for what in ("fires", "is quiet"):
        assert any(name == f"{alert} {what}" or name.startswith(f"{alert} {what} ") for name in names), what


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_each_alert_has_a_severity_a_sentence_and_a_runbook_that_is_there(alert: Mapping[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert re.fullmatch(r"[A-Z].*\.", alert["annotations"]["summary"])
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert ROOT / page == OPERATIONS
    assert anchor in anchors(OPERATIONS)


def test_each_rule_asks_for_metrics_that_are_exported() -> None:
    recorded = {rule["record"] for rule in _rules("record")}
    wrong = {
        rule.get("alert") or rule["record"]: found
        for rule in (*_rules("alert"), *_rules("record"))
        if (found := [*problems_with(rule["expr"]), *(set(re.findall(r"\boms:\w+:\w+", rule["expr"])) - recorded)])
    }
    assert not wrong


def test_the_operations_guide_names_each_alert_with_its_severity() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (page|ticket) \|", OPERATIONS.read_text(), re.MULTILINE))

    assert rows == {name: alert["labels"]["severity"] for name, alert in ALERTS.items()}


def test_the_operations_guide_says_which_fault_fires_each_alert() -> None:
    _, _, rest = OPERATIONS.read_text().partition("### Which fault fires which alert")
    rows = dict(re.findall(r"^\| ([a-z].*?) \| (.*) \|$", rest.partition("\n##")[0], re.MULTILINE))
    told = {name: fault for fault, alerts in rows.items() for name in re.findall(r"`(\w+)` \d+ s", alerts)}

    assert told == {alert: fault.name for fault in FAULTS for alert in fault.alerts}


def test_the_campaign_has_a_fault_for_each_alert_and_changes_only_windows_and_thresholds() -> None:
    assert sorted(alert for fault in FAULTS for alert in fault.alerts) == sorted(ALERTS)
    short = [rule for group in short_rules()["groups"] for rule in group["rules"]]

    for real, shortened in zip((*_all_rules(),), short, strict=True):
        assert _without_numbers(real["expr"]) == _without_numbers(shortened["expr"])


def _without_numbers(expression: str) -> str:
    return re.sub(r"\b\d[\d.]*[smhd]?\b", "", expression)


def test_a_metric_or_a_label_that_nobody_exports_is_found() -> None:
    assert list(problems_with('rate(oms_orders_lost_total[5m]) + oms_outbox_depth{shard="1"}')) == [
        "oms_orders_lost_total is not exported",
        "oms_outbox_depth has no label shard",
    ]
    assert not list(problems_with('sum by (le) (rate(oms_commit_seconds_bucket{writes="stock",le="1.0"}[5m]))'))
