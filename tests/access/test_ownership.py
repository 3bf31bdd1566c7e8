"""An order belongs to its caller: for everybody else it is not there."""

import json
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio

from shared_kernel.caller import ANONYMOUS, ANONYMOUS_NAME, Caller, Scope
from tests.access import issuer
from tests.access.whole_system import EVERYDAY, WholeSystem, whole_system

ORDER = {"items": [{"productId": "p1", "quantity": 1}]}
SHOP = issuer.token("shop", sorted(EVERYDAY))
RIVAL = issuer.token("rival", sorted(EVERYDAY))
OPERATOR = issuer.token("ops", sorted(Scope))


@pytest_asyncio.fixture
async def system() -> AsyncIterator[WholeSystem]:
    """The three services behind authentication."""
    async with whole_system() as running:
        yield running


def _without_id(answer: httpx.Response, order_id: str) -> object:
    return json.loads(answer.text.replace(order_id, "…")) | {"timestamp": "…"}


async def test_somebody_elses_order_looks_like_no_order_at_all(system: WholeSystem) -> None:
    order_id = await system.settled_order(SHOP)
    invented = order_id[:-4] + ("0000" if not order_id.endswith("0000") else "1111")

    for method, path in (
        ("GET", "/orders/{}"),
        ("POST", "/orders/{}/cancel"),
        ("POST", "/orders/{}/complete"),
        ("GET", "/payments/{}"),
    ):
        theirs = await system.ask(method, path.format(order_id), RIVAL)
        none = await system.ask(method, path.format(invented), RIVAL)
        assert theirs.status_code == none.status_code == 404
        assert _without_id(theirs, order_id) == _without_id(none, invented)

    assert {(who, reason, order) for who, _, reason, order, _ in system.refused} == {
        ("rival", "it is another caller's", UUID(order_id))
    }, "the audit trail knows, and nobody else"
    assert len(system.refused) == 4
    unchanged = (await system.ask("GET", f"/orders/{order_id}", SHOP)).json()
    assert unchanged["status"] == "CONFIRMED"


async def test_whoever_lacks_a_scope_makes_equal_entries_however_many_ids_are_invented(system: WholeSystem) -> None:
    unscoped = issuer.token("shop")

    for _ in range(3):
        assert (await system.ask("GET", f"/orders/{uuid4()}", unscoped)).status_code == 403

    assert set(system.refused) == {("shop", "GET /orders/{orderId}", "a scope is missing", None, None)}


async def test_waiting_for_somebody_elses_order_ends_at_once(system: WholeSystem) -> None:
    order_id = await system.settled_order(SHOP)

    answer = await system.ask("GET", f"/orders/{order_id}", RIVAL, Prefer="wait=30")

    assert answer.status_code == 404


def test_orders_that_were_placed_without_authentication_belong_to_nobody() -> None:
    assert not Caller(ANONYMOUS_NAME, EVERYDAY).may_see(ANONYMOUS_NAME)
    assert Caller("ops", frozenset({Scope.OPERATOR})).may_see(ANONYMOUS_NAME)
    assert ANONYMOUS.may_see(ANONYMOUS_NAME), "without authentication everybody is everybody"


async def test_each_caller_lists_its_own_orders_and_an_operator_lists_all(system: WholeSystem) -> None:
    shops = [await system.settled_order(SHOP) for _ in range(3)]
    rivals = [await system.settled_order(RIVAL)]

    async def listed(credential: str, query: str = "") -> list[str]:
        page = (await system.ask("GET", f"/orders{query}", credential)).json()
        return sorted(order["orderId"] for order in page["orders"])

    assert await listed(SHOP) == sorted(shops)
    assert await listed(SHOP, "?status=CONFIRMED") == sorted(shops)
    assert await listed(SHOP, "?status=CANCELLED") == []
    assert await listed(RIVAL) == rivals
    assert await listed(OPERATOR) == sorted(shops + rivals)


async def test_pages_of_ones_own_orders_hold_nobody_elses(system: WholeSystem) -> None:
    shops = []
    for _ in range(5):
        shops.append(await system.settled_order(SHOP))
        await system.settled_order(RIVAL)

    seen: list[str] = []
    cursor = ""
    while True:
        page = (await system.ask("GET", f"/orders?limit=2{cursor}", SHOP)).json()
        seen += [order["orderId"] for order in page["orders"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"

    assert seen == sorted(shops, reverse=True)


async def test_two_callers_may_use_the_same_idempotency_key(system: WholeSystem) -> None:
    ids = {}
    for who, credential in (("shop", SHOP), ("rival", RIVAL)):
        first, again = [await system.ask("POST", "/orders", credential, ORDER, Idempotency_Key="k1") for _ in range(2)]
        assert first.status_code == again.status_code == 201
        assert first.json() == again.json()
        ids[who] = first.json()["orderId"]

    assert ids["shop"] != ids["rival"]


async def test_a_customer_is_named_only_with_the_scope_for_it(system: WholeSystem) -> None:
    on_behalf = issuer.token("shop", [Scope.ORDERS_WRITE, Scope.ORDERS_ON_BEHALF])
    order = ORDER | {"customerId": "c1"}

    refused = await system.ask("POST", "/orders", SHOP, order)
    assert (refused.status_code, refused.json()["errors"]) == (
        403,
        {"scope": "scope orders:on-behalf is needed, and this caller does not have it"},
    )
    assert (await system.ask("POST", "/orders", on_behalf, order)).status_code == 201


async def test_the_audit_trail_knows_which_key_was_refused_and_the_answer_tells_nothing(
    system: WholeSystem,
) -> None:
    revoked = await system.key_of("shop")
    await system.revoke(revoked)
    invented = f"oms_{'f' * 16}_{'s' * 43}"

    answers = [await system.ask("GET", f"/orders/{uuid4()}", each) for each in (revoked, invented)]

    told, nothing = [answer.json() | {"timestamp": "…"} for answer in answers]
    assert told == nothing
    assert answers[0].headers["WWW-Authenticate"] == answers[1].headers["WWW-Authenticate"]
    assert [(who, reason, key) for who, _, reason, _, key in system.refused] == [
        ("unknown", "the API key is revoked", revoked.split("_")[1]),
        ("unknown", told["errors"]["Authorization"], None),
    ]


@pytest.mark.parametrize(
    "authorization",
    ["Basic c2hvcDpwdw==", "Bearer", "Bearer ", "bearer\ttoken", "Token x", "Bearer \xe9", "Bearer a b"],
)
async def test_an_authorization_that_is_not_understood_is_a_401(system: WholeSystem, authorization: str) -> None:
    headers = {b"Authorization": authorization.encode("latin-1")}
    answer = await system.client.get("/orders", headers=headers)

    assert answer.status_code == 401
    assert answer.json()["errors"]["Authorization"].startswith("Authorization must ")


async def test_two_authorizations_are_a_401(system: WholeSystem) -> None:
    twice = [("Authorization", f"Bearer {SHOP}"), ("Authorization", f"Bearer {RIVAL}")]

    answer = await system.client.get("/orders", headers=twice)

    assert answer.json()["errors"] == {"Authorization": "Authorization must be given once"}


async def test_the_kind_of_authorization_may_have_any_case(system: WholeSystem) -> None:
    assert (await system.client.get("/orders", headers={"Authorization": f"bEaReR  {SHOP}"})).status_code == 200
