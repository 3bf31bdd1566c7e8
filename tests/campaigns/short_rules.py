"""The rules with short windows and low thresholds, so that a campaign need not wait for hours, and a Prometheus that
evaluates them on the real services."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.real_parts.kafka import free_port

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yml"
_WINDOWS = {
    "2m": "10s",
    "5m": "10s",
    "10m": "20s",
    "30m": "15s",
    "1h": "30s",
    "2h": "20s",
    "6h": "30s",
    "1d": "40s",
    "3d": "50s",
}
_THRESHOLDS = {
    "CommitQueueFills": ("> 1024", "> 8"),
    "StandbyLags": ("> 1073741824", "> 1000000"),
    "OutboxOld": ("> 60", "> 10"),
    "PublishingFails": ("> 10", "> 2"),
    "RequestsUnanswered": ("> 10", "> 0"),
    "RelaysFenced": ("> 5", "> 0"),
    "ConsumerLags": ("> 1000", "> 50"),
    "GatewaySlow": ("> 5", "> 1"),
    "PaymentsOverdue": ("> 120", "> 10"),
}
_WINDOW = re.compile(r"(\[|offset )(\d+[mhd])\b")
_STARTS_WITHIN = 60.0


def real_rules() -> dict[str, Any]:
    """The rules as an operator's Prometheus reads them."""
    rules: dict[str, Any] = yaml.safe_load(RULES.read_text())
    return rules


def short_rules() -> dict[str, Any]:
    """The rules, of which only windows, holds and the thresholds above differ from the real ones."""
    rules = real_rules()
    for group in rules["groups"]:
        for rule in group["rules"]:
            before, after = _THRESHOLDS.get(rule.get("alert", ""), ("", ""))
            assert before in rule["expr"], f"{rule['alert']} has no {before}"
            expression = rule["expr"].replace(before, after) if before else rule["expr"]
            rule["expr"] = _WINDOW.sub(lambda found: found[1] + _WINDOWS[found[2]], expression)
            if "for" in rule:
                rule["for"] = "1s"
    return rules


class Prometheus:
    """A running Prometheus."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    async def firing(self, *, or_about_to: bool = False) -> set[str]:
        """The names of the alerts that fire, or are about to, when what they say has held for long enough."""
        async with httpx.AsyncClient(timeout=30) as client:
            alerts = (await client.get(f"{self.url}/api/v1/alerts")).raise_for_status().json()["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if or_about_to or alert["state"] == "firing"}

    async def until_it_answers(self) -> None:
        """Wait until it is there."""
        async with asyncio.timeout(_STARTS_WITHIN):
            while True:
                try:
                    await self.firing()
                except httpx.HTTPError:
                    await asyncio.sleep(0.2)
                else:
                    return


@contextmanager
def prometheus(folder: Path, ports: Sequence[int], rules: Mapping[str, Any]) -> Iterator[Prometheus]:
    """A Prometheus that scrapes these ports of this machine every two seconds; gone afterwards."""
    program = shutil.which("prometheus")
    if program is None:
        raise FileNotFoundError("prometheus is needed: install the package `prometheus`")
    (folder / "rules.yml").write_text(yaml.safe_dump(dict(rules)))
    targets = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
    settings = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "oms", "static_configs": targets}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    port = free_port()
    arguments = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
    try:
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(30)
