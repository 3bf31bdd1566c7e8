"""The API keeps what /openapi.json promises, whatever is sent to it (schemathesis thinks of what)."""

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import Creation
from order_service.domain.order_status import OrderStatus
from order_service.infrastructure.memory_orders import MemoryOrders
from tests.domain.orders import order_in
from tests.http.conftest import app_on

CHECKS: list[Any] = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]
STORED = {status: order_in(status) for status in OrderStatus}


async def _store() -> MemoryOrders:
    store = MemoryOrders(MemoryOutbox())
    for order in STORED.values():
        await store.create(Creation(order, ()))
    return store


schema = schemathesis.openapi.from_asgi("/openapi.json", app_on(asyncio.run(_store())))
many = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
few = settings(many, max_examples=10)


def _assert_keeps_its_promises(case: Case[Any]) -> None:
    response = case.call_and_validate(checks=CHECKS)
    documented = {*case.operation.definition.raw["responses"], "405"} - {"default"}
    assert str(response.status_code) in documented, f"{response.status_code} is not documented: {response.text}"


@schema.parametrize()
@many
def test_every_answer_is_one_that_is_documented(case: Case[Any]) -> None:
    _assert_keeps_its_promises(case)


@schema.include(path_regex="orderId").parametrize()
@few
@pytest.mark.parametrize("status", OrderStatus)
def test_every_answer_about_an_order_that_exists_is_one_that_is_documented(
    case: Case[Any], status: OrderStatus
) -> None:
    case.path_parameters["orderId"] = str(STORED[status].id)

    _assert_keeps_its_promises(case)
