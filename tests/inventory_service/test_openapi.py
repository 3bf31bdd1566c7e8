"""The catalogue keeps what /openapi.json promises, whatever is sent to it (schemathesis thinks of what)."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)

from http_api.health import Health, HealthChecks
from http_api.http_application import http_application
from inventory_service.api import InventoryUseCases, inventory_http
from inventory_service.application import FindProducts, PutProduct, SetPrice
from inventory_service.infrastructure.memory import MemoryStock
from messaging.memory.outbox import MemoryOutbox
from messaging.ports.store_health import HEALTHY, StoreHealth

CHECKS: list[Any] = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def _app() -> Any:
    async def health() -> StoreHealth:
        return HEALTHY

    async def nothing() -> None: ...

    store = MemoryStock(MemoryOutbox())
    checks = HealthChecks(health, lambda: False, lambda: Health.UNKNOWN, nothing)
    return http_application(
        [inventory_http(checks, InventoryUseCases(PutProduct(store), SetPrice(store), FindProducts(store)))]
    )


schema = schemathesis.openapi.from_asgi("/openapi.json", _app())


@schema.include(path_regex="^/products").parametrize()
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_is_documented(case: Case[Any]) -> None:
    response = case.call_and_validate(checks=CHECKS)

    documented = {*case.operation.definition.raw["responses"], "405"} - {"default"}
    assert str(response.status_code) in documented, f"{response.status_code} is not documented: {response.text}"
