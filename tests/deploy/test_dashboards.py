"""The dashboards: what the generator makes, of metrics that are exported, and in place when Grafana starts."""

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.exported import exported, problems_with

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
GENERATOR = DEPLOY / "grafana" / "generate.py"
PAGES = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def _queries(page: Path) -> list[str]:
    return [target["expr"] for panel in json.loads(page.read_text())["panels"] for target in panel["targets"]]


def test_the_dashboards_are_those_that_the_generator_makes() -> None:
    pytest.importorskip("grafana_foundation_sdk", reason="it comes with the extra `dev`")
    made = runpy.run_path(str(GENERATOR))

    assert [page.stem for page in PAGES] == sorted(made["DASHBOARDS"]) == ["orders", "payments", "pipeline", "platform"]
    for page in PAGES:
        assert page.read_text() == made["generated"](page.stem), "run `make dashboards`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_panel_asks_for_metrics_that_are_exported(page: Path) -> None:
    assert not [problem for query in _queries(page) for problem in problems_with(query)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_panel_says_what_it_shows_and_asks_where_the_data_is(page: Path) -> None:
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/sources.yml").read_text())["datasources"][:1]

    for panel in json.loads(page.read_text())["panels"]:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}


def test_every_metric_of_ours_is_on_a_dashboard_or_in_an_alert() -> None:
    rules = (DEPLOY / "prometheus" / "rules.yml").read_text()
    shown = "\n".join([rules, *(query for page in PAGES for query in _queries(page))])

    missing = {name for name in exported() if name.startswith("oms_") and not re.search(rf"\b{name}(_|\b)", shown)}
    assert not missing


def test_every_alert_and_panel_that_uses_a_recorded_ratio_uses_one_that_is_recorded() -> None:
    recorded = set(re.findall(r"record: (\S+)", (DEPLOY / "prometheus" / "rules.yml").read_text()))
    asked = {name for page in PAGES for query in _queries(page) for name in re.findall(r"\boms:\w+:\w+", query)}

    assert asked <= recorded


def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing; it comes with the package `prometheus`")
    for name in ("prometheus.yml", "rules.yml"):
        shutil.copy(DEPLOY / "prometheus" / name, tmp_path)
    ended = subprocess.run(
        [promtool, "check", "config", str(tmp_path / "prometheus.yml")], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _mounts(service: str) -> dict[str, Path]:
    """The folders and files of the repository in a container, by where they are there."""
    pairs = [mount.split(":")[:2] for mount in COMPOSE["services"][service]["volumes"] if mount.startswith("./")]
    return {inside: ROOT / outside for outside, inside in pairs}


def test_the_profile_observe_mounts_what_is_there_and_scrapes_every_process() -> None:
    observing = {name for name, service in COMPOSE["services"].items() if service.get("profiles") == ["observe"]}
    assert observing == {"prometheus", "grafana", "otel-collector", "jaeger"}
    for service in ("prometheus", "grafana", "otel-collector"):
        for outside in _mounts(service).values():
            assert outside.exists(), outside

    (job,) = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    serving = {name for name, service in COMPOSE["services"].items() if "serve" in service.get("command", ())}
    assert (job["job_name"], set(found["names"]), found["port"]) == ("oms", serving, 8000)


def test_grafana_finds_the_dashboards_where_they_are_mounted() -> None:
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/oms.yml").read_text())["providers"]
    mounts: dict[str, Any] = _mounts("grafana")

    assert mounts[provider["options"]["path"]] == DEPLOY / "grafana" / "dashboards"
    assert mounts["/etc/grafana/provisioning"] == DEPLOY / "grafana" / "provisioning"
