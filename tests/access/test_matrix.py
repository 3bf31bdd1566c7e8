"""Every route by every kind of caller: the status of each cell is written down here, and a new route needs a row."""

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from shared_kernel.caller import Scope
from tests.access import issuer
from tests.access.whole_system import EVERYDAY, WholeSystem, whole_system

ORDER = {"items": [{"productId": "p1", "quantity": 1}]}
PRODUCT = {"price": {"amount": "2.00", "currency": "EUR"}, "onHand": 1000}
BODIES: Mapping[tuple[str, str], object] = {
    ("POST", "/orders"): ORDER,
    ("PUT", "/products/{productId}"): PRODUCT,
    ("PUT", "/products/{productId}/price"): PRODUCT["price"],
}


@dataclass(frozen=True)
class Row:
    """The statuses of a route for callers who are known. For others it is 401, unless the route is public."""

    owner: int
    another: int
    unscoped: int
    operator: int
    is_public: bool = False


OPEN = Row(200, 200, 200, 200, is_public=True)
OWN = Row(200, 404, 403, 200)

MATRIX: Mapping[tuple[str, str], Row] = {
    ("POST", "/orders"): Row(201, 201, 403, 201),
    ("GET", "/orders"): Row(200, 200, 403, 200),
    ("GET", "/orders/{orderId}"): OWN,
    ("POST", "/orders/{orderId}/cancel"): Row(202, 404, 403, 202),
    ("POST", "/orders/{orderId}/complete"): OWN,
    ("GET", "/payments/{orderId}"): OWN,
    ("PUT", "/products/{productId}"): Row(200, 200, 403, 200),
    ("PUT", "/products/{productId}/price"): Row(200, 200, 403, 200),
    ("GET", "/products/{productId}"): Row(200, 200, 200, 200),
    ("GET", "/products"): Row(200, 200, 200, 200),
    ("GET", "/metrics"): Row(403, 403, 403, 200),
    ("GET", "/health/live"): OPEN,
    ("GET", "/health/ready"): OPEN,
    ("GET", "/"): Row(307, 307, 307, 307, is_public=True),
    ("GET", "/docs"): OPEN,
    ("GET", "/openapi.json"): OPEN,
}

_SCOPES = sorted(EVERYDAY)
STRANGERS = {
    "nobody": None,
    "an expired token": issuer.token("shop", _SCOPES, exp=int(time.time()) - 40),
    "a token for another audience": issuer.token("shop", _SCOPES, aud="payroll"),
    "a token of another issuer": issuer.token("shop", _SCOPES, iss="https://evil.example"),
    "a token whose algorithm is none": issuer.unsigned("shop", _SCOPES),
    "a token signed with the public key": issuer.confused("shop", _SCOPES),
    "a token signed by a stranger": issuer.strangers_token("shop", _SCOPES),
    "an invented API key": f"oms_{'0' * 16}_{'x' * 43}",
    "half an API key": "oms_",
}


@pytest_asyncio.fixture
async def system() -> AsyncIterator[WholeSystem]:
    """The three services behind authentication."""
    async with whole_system() as running:
        yield running


async def _call(system: WholeSystem, method: str, path: str, credential: str | None, order_id: str) -> httpx.Response:
    filled = path.replace("{orderId}", order_id).replace("{productId}", "p1")
    return await system.ask(method, filled, credential, BODIES.get((method, path)))


async def test_every_route_has_a_row(system: WholeSystem) -> None:
    document = (await system.client.get("/openapi.json")).json()
    routes = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}

    assert routes == set(MATRIX) - {("GET", "/"), ("GET", "/docs"), ("GET", "/openapi.json")}


@pytest.mark.parametrize(("method", "path"), MATRIX)
async def test_a_route_answers_each_kind_of_caller_as_the_matrix_says(
    system: WholeSystem, method: str, path: str
) -> None:
    row = MATRIX[method, path]
    owner = issuer.token("shop", _SCOPES)
    known = {
        "owner": (owner, row.owner),
        "owner by an API key": (await system.key_of("shop"), row.owner),
        "another": (issuer.token("rival", _SCOPES), row.another),
        "another by an API key": (await system.key_of("rival"), row.another),
        "unscoped": (issuer.token("shop"), row.unscoped),
        "unscoped by an API key": (await system.key_of("shop", frozenset()), row.unscoped),
        "operator": (issuer.token("ops", sorted(set(Scope))), row.operator),
    }
    revoked = await system.key_of("shop")
    await system.revoke(revoked)
    unknown = {
        who: (credential, row.owner if row.is_public else 401)
        for who, credential in (STRANGERS | {"a revoked API key": revoked}).items()
    }
    needs_order = "{orderId}" in path

    answered = {}
    for who, (credential, _) in (known | unknown).items():
        order_id = await system.settled_order(owner) if needs_order else ""
        answer = await _call(system, method, path, credential, order_id)
        answered[who] = answer.status_code
        if answer.status_code == 401:
            assert answer.headers["WWW-Authenticate"].startswith("Bearer"), "RFC 6750"
            assert list(answer.json()["errors"]) == ["Authorization"]

    assert answered == {who: status for who, (_, status) in (known | unknown).items()}


@pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.ORDERS_ON_BEHALF])
async def test_each_scope_opens_its_own_routes_only(system: WholeSystem, scope: Scope) -> None:
    opens = {
        Scope.ORDERS_WRITE: {("POST", "/orders"), ("POST", "/orders/{orderId}/cancel")},
        Scope.ORDERS_READ: {("GET", "/orders"), ("GET", "/orders/{orderId}")},
        Scope.ORDERS_FULFIL: {("POST", "/orders/{orderId}/complete")},
        Scope.CATALOGUE_WRITE: {("PUT", "/products/{productId}"), ("PUT", "/products/{productId}/price")},
        Scope.PAYMENTS_READ: {("GET", "/payments/{orderId}")},
        Scope.OPERATOR: {("GET", "/metrics")},
    }
    caller, unscoped = issuer.token("shop", [scope]), {route for route, row in MATRIX.items() if row.unscoped != 403}

    opened = set()
    for method, path in MATRIX:
        order_id = await system.settled_order(issuer.token("shop", _SCOPES)) if "{orderId}" in path else ""
        if (await _call(system, method, path, caller, order_id)).status_code != 403:
            opened.add((method, path))

    assert opened - unscoped == opens[scope]


async def test_every_route_that_needs_a_scope_says_so_in_the_documentation(system: WholeSystem) -> None:
    document = (await system.client.get("/openapi.json")).json()

    silent = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, route in methods.items()
        if not any("bearer" in way for way in route.get("security", [])) and not MATRIX[method.upper(), path].is_public
    }
    assert silent == set()
