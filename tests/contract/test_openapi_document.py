"""docs/openapi.yaml is what the processes say of themselves at /openapi.json."""

from typing import Any

import httpx
import schemathesis
import yaml

from docs.generate_openapi import PAGE, document
from docs.yaml_text import yaml_text
from tests.http.conftest import running_service

PUBLISHED: dict[str, Any] = yaml.safe_load(PAGE.read_text(encoding="utf-8"))


def test_the_published_document_is_the_one_that_the_generator_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == yaml_text(document()), "run `make schemas`"


def test_the_document_is_valid_by_the_standards_schema() -> None:
    schemathesis.openapi.from_dict(PUBLISHED).validate()


async def test_a_process_serves_the_paths_that_are_published_of_its_service() -> None:
    async with running_service("memory") as service:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
            served = (await client.get("/openapi.json")).json()

    assert served["paths"] == {path: PUBLISHED["paths"][path] for path in served["paths"]}
    assert {path for path in PUBLISHED["paths"] if path.startswith("/orders")} <= served["paths"].keys()
