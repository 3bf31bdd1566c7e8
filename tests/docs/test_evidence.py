"""docs/evidence.md says what the records say, and hides nothing of them."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_evidence", _DOCS / "generate_evidence.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _record(name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((_DOCS / "evidence" / name).read_text())
    return record


def test_the_page_is_made_from_the_records(generator: ModuleType) -> None:
    assert generator.PAGE.read_text() == generator.generated(), "run `make evidence`"


def test_readme_quotes_its_first_line(generator: ModuleType) -> None:
    line = generator.first_line(_record("simulation.json"))

    assert line.strip("*") in " ".join((_DOCS.parent / "README.md").read_text().split())


def test_what_was_wrong_is_on_the_page(generator: ModuleType) -> None:
    simulation, mutants = _record("simulation.json"), _record("mutants.json")
    simulation["violations"] = {"7": ["an order is lost"], "9": ["another one"]}
    mutants["verdicts"] = [{"mutant": "a", "breaks": "Nothing is sent.", "seed": None, "noticed": ""}]
    tests: dict[str, Any] = {"commit": "1234567", "verdicts": []}

    page = generator.page(simulation, mutants, tests, [], (_DOCS / "reliability.md").read_text())

    assert "2 broke a promise" in page
    assert "0 of 1 were noticed" in page
    assert "| Nothing is sent. | **not noticed** | **no test** |" in page
