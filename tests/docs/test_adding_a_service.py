"""docs/adding-a-service.md is built from its own code blocks: its test runs, its commands, and an order beside it."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.real_parts.order_process import ORDER, OURS, OrderProcess

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-a-service.md").read_text()
NAMED = re.compile(r"^`(\S+\.py)`\n\n```python\n(.*?)```", re.DOTALL | re.MULTILINE)
CHANGE = re.compile(r"^```diff\n (.*\n)\+(.*\n)```", re.MULTILINE)
ENDS_WITHIN = 300


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a reader has after following the page: the new folder, and the list of services with its line."""
    for path, text in NAMED.findall(PAGE):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    shutil.copytree(ROOT / "oms", tmp_path / "oms")
    services = tmp_path / "oms" / "services.py"
    text = services.read_text()
    for before, added in CHANGE.findall(PAGE):
        assert before in text, f"the page adds a line after one that is not there: {before}"
        text = text.replace(before, before + added)
    services.write_text(text)
    return tmp_path


def _run(checkout: Path, *command: str, environment: Mapping[str, str] | None = None) -> str:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith((*OURS, "PYTEST_", "COV_"))}
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        env=inherited | {"PYTHONPATH": f"{checkout}:{ROOT}"} | dict(environment or {}),
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN,
        check=False,
    )
    assert ended.returncode == 0, f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


async def _until_counted(connection: Any, within: float = 60.0) -> None:
    """Return when the one order is counted."""
    try:
        async with asyncio.timeout(within):
            while not (found := await connection.fetch("select currency, orders, minor from revenue")):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"the confirmed order was not counted within {within:.0f} s") from None
    assert [tuple(row) for row in found] == [("EUR", 1, 2500)]


def test_a_service_takes_less_than_150_lines() -> None:
    written = "".join(text for _, text in NAMED.findall(PAGE)) + "".join(added for _, added in CHANGE.findall(PAGE))
    assert written.count("\n") < 150


def test_the_pages_own_test_passes(checkout: Path) -> None:
    output = _run(
        checkout,
        *("pytest", "-q", "-p", "tests.conftest", "-o", "asyncio_mode=auto", "-p", "no:cacheprovider"),
        "revenue_service/test_revenue.py",
    )
    assert "1 passed" in output


async def test_the_new_service_is_migrated_by_the_command_line_and_counts_a_confirmed_order(
    checkout: Path, empty: str
) -> None:
    settings = {f"{service}_DATABASE_URL": "memory" for service in ("ORDER", "INVENTORY", "PAYMENT")}
    settings |= {"REVENUE_DATABASE_URL": empty, "PYTHONPATH": f"{checkout}:{ROOT}"}
    assert "revenue: the schema is up to date" in _run(checkout, "oms", "migrate", "revenue", environment=settings)

    with OrderProcess(checkout, settings, "up", "--quiet") as process:
        async with httpx.AsyncClient(base_url=process.url, timeout=60) as client:
            order = (await client.post("/orders", json=ORDER)).json()["orderId"]
            settled = await client.get(f"/orders/{order}", headers={"Prefer": "wait=30"})
            assert settled.json()["status"] == "CONFIRMED"
        connection = await asyncpg.connect(empty)
        try:
            await _until_counted(connection)
        finally:
            await connection.close()
