"""PUT and GET of products, and everything a client can do wrong with them."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest
import pytest_asyncio
from pydantic import TypeAdapter, ValidationError
from uuid_utils.compat import uuid7

from http_api.body_limit import MAX_BODY
from http_api.health import Health, HealthChecks
from http_api.http_application import http_application
from http_api.schemas import ProductName
from inventory_service.api import InventoryUseCases, inventory_http
from inventory_service.application import FindProducts, PutProduct, SetPrice, StockStore
from inventory_service.infrastructure.memory import MemoryStock
from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import StoreUnavailable
from messaging.ports.store_health import HEALTHY, StoreHealth
from shared_kernel.product import ProductId
from tests.http.answers import assert_error
from tests.inventory_service.conftest import StockUnderTest
from tests.inventory_service.stock import product, reserving, shipping

PRODUCT = {"price": {"amount": "12.50", "currency": "EUR"}, "onHand": 10}
ANY = {"400", "401", "429", "503", "default"}
PUT = ANY | {"403", "413", "415"}
WHOLE = "must be a whole number, written without quotes or a fraction"
DECIMAL = "must be a decimal number such as 12.50"


def _client(store: StockStore) -> httpx.AsyncClient:
    async def health() -> StoreHealth:
        return HEALTHY

    async def nothing() -> None: ...

    checks = HealthChecks(health, lambda: False, lambda: Health.UNKNOWN, nothing)
    app = http_application(
        [inventory_http(checks, InventoryUseCases(PutProduct(store), SetPrice(store), FindProducts(store)))]
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://inventory")


@pytest_asyncio.fixture
async def api(stock: StockUnderTest) -> AsyncIterator[httpx.AsyncClient]:
    """The API on every store."""
    async with _client(stock.store) as client:
        yield client


@pytest_asyncio.fixture
async def memory_api() -> AsyncIterator[httpx.AsyncClient]:
    """The API where the store does not matter."""
    async with _client(MemoryStock(MemoryOutbox())) as client:
        yield client


def _view(name: str, on_hand: int, reserved: int = 0, amount: str = "12.50", currency: str = "EUR") -> dict[str, Any]:
    return {
        "productId": name,
        "price": {"amount": amount, "currency": currency},
        "onHand": on_hand,
        "reserved": reserved,
        "available": on_hand - reserved,
    }


async def test_a_new_product_is_created_and_is_read_as_it_was_put(api: httpx.AsyncClient) -> None:
    put = await api.put("/products/Käse 1", json=PRODUCT)

    assert (put.status_code, put.json()) == (201, _view("Käse 1", 10))
    read = await api.get("/products/Käse 1")
    assert (read.status_code, read.json()) == (200, _view("Käse 1", 10))


async def test_a_product_that_is_there_is_changed_and_keeps_what_is_reserved(
    api: httpx.AsyncClient, stock: StockUnderTest
) -> None:
    await api.put("/products/p1", json=PRODUCT)
    await stock.write(reserving(uuid7(), {"p1": 4}))

    put = await api.put("/products/p1", json={"price": {"amount": "500", "currency": "JPY"}, "onHand": 4, "more": 1})

    assert (put.status_code, put.json()) == (200, _view("p1", 4, 4, "500", "JPY"))
    assert (await api.get("/products/p1")).json() == put.json()


async def test_a_price_of_its_own_leaves_the_stock_as_it_was_sold_meanwhile(
    api: httpx.AsyncClient, stock: StockUnderTest
) -> None:
    await api.put("/products/p1", json=PRODUCT)
    order = uuid7()
    await stock.write(reserving(order, {"p1": 4}))
    await stock.write(shipping(order))

    put = await api.put("/products/p1/price", json={"amount": "99.99", "currency": "USD"})

    assert (put.status_code, put.json()) == (200, _view("p1", 6, 0, "99.99", "USD"))
    assert (await api.get("/products/p1")).json() == put.json()


async def test_a_product_that_is_not_there_has_no_price_to_set(api: httpx.AsyncClient) -> None:
    answer = await api.put("/products/p9/price", json={"amount": "1.00", "currency": "EUR"})

    assert_error(answer, 404, "Not found", {"productId": "there is no product p9"})
    assert (await api.get("/products/p9")).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [("{}", "amount"), ('{"amount":"0","currency":"EUR"}', "amount"), ('{"amount":"1","currency":"eur"}', "currency")],
)
async def test_a_price_of_its_own_is_checked_like_any_other(
    memory_api: httpx.AsyncClient, body: str, field: str
) -> None:
    await memory_api.put("/products/p1", json=PRODUCT)

    assert field in assert_error(await memory_api.put("/products/p1/price", content=body), 400, "Validation failed")


async def test_a_product_may_be_called_like_the_price_of_another(memory_api: httpx.AsyncClient) -> None:
    await memory_api.put("/products/p1", json=PRODUCT)
    await memory_api.put("/products/p1%2Fprice", json=PRODUCT | {"onHand": 7})

    await memory_api.put("/products/p1%2Fprice/price", json={"amount": "1.00", "currency": "EUR"})

    assert (await memory_api.get("/products/p1")).json() == _view("p1", 10)
    assert (await memory_api.get("/products/p1%2Fprice")).json() == _view("p1/price", 7, amount="1.00")


async def test_stock_below_what_is_reserved_is_a_conflict_that_names_the_field(
    api: httpx.AsyncClient, stock: StockUnderTest
) -> None:
    await stock.add(product("p1"))
    await stock.write(reserving(uuid7(), {"p1": 4}))

    answer = await api.put("/products/p1", json=PRODUCT | {"onHand": 3})

    sentence = "onHand cannot be 3: 4 of product p1 are reserved for orders"
    assert_error(answer, 409, "Conflict", {"onHand": sentence})
    assert (await api.get("/products/p1")).json() == _view("p1", 10, 4)


NAMES = [
    "kg/s",
    "/",
    "a/",
    "/a",
    "a//b",
    "a/../b",
    "p1/price",
    "...",
    ". ",
    "50%",
    "50%2F",
    "%2e%2e",
    "%",
    "a?b",
    "a#b",
    "a&b=c;d",
    "a+b",
    "a b",
    " a ",
    "a\\b",
    "[1]",
    "~",
    "'\"<>",
    "\u00e9",
    "e\u0301",
    "\U0001fadd",
    "x" * 64,
    "日本",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
async def test_whatever_can_be_ordered_can_be_put_on_sale_under_its_own_name(
    memory_api: httpx.AsyncClient, name: str
) -> None:
    assert TypeAdapter(ProductName).validate_python(name) == name, "orders take it"
    path = f"/products/{quote(name, safe='')}"

    put = await memory_api.put(path, json=PRODUCT)
    listed = await memory_api.get("/products")

    assert (put.status_code, put.json()["productId"]) == (201, name)
    assert (await memory_api.get(path)).json() == put.json()
    assert (await memory_api.get(f"{path}/")).json() == put.json()
    assert [product["productId"] for product in listed.json()["products"]] == [name]


async def test_names_that_look_alike_are_different_products(memory_api: httpx.AsyncClient) -> None:
    for name in NAMES:
        assert (await memory_api.put(f"/products/{quote(name, safe='')}", json=PRODUCT)).status_code == 201


@pytest.mark.parametrize("name", ["%2E", "%2e%2E"])
async def test_a_name_that_no_url_can_carry_is_neither_ordered_nor_sold(
    memory_api: httpx.AsyncClient, name: str
) -> None:
    # As bytes on the wire: clients take such a segment out.
    target = httpx.URL("http://inventory/").copy_with(raw_path=f"/products/{name}".encode())

    answer = await memory_api.put(target, json=PRODUCT)

    sentence = "productId must be neither . nor .., which no URL can name"
    assert_error(answer, 400, "Validation failed", {"productId": sentence})
    with pytest.raises(ValidationError, match="which no URL can name"):
        TypeAdapter(ProductName).validate_python(unquote(name))


async def test_a_product_that_is_not_there_is_named(api: httpx.AsyncClient) -> None:
    assert_error(await api.get("/products/p9"), 404, "Not found", {"productId": "there is no product p9"})


@pytest.mark.parametrize(
    ("amount", "currency", "on_hand"),
    [
        ("0.01", "EUR", 0),
        ("9999999999.99", "EUR", 1_000_000_000),
        ("999999999999", "JPY", 1),
        ("12.5", "EUR", 1),
        ("15000000", "IDR", 1),
        ("0.0001", "CLF", 1),
        ("99999999.9999", "UYW", 1),
    ],
)
async def test_the_limits_themselves_are_allowed(
    api: httpx.AsyncClient, amount: str, currency: str, on_hand: int
) -> None:
    body = {"price": {"amount": amount, "currency": currency}, "onHand": on_hand}

    assert (await api.put("/products/p1", json=body)).status_code == 201


def _body(amount: str = '"12.50"', currency: str = '"EUR"', on_hand: str = "10") -> str:
    return f'{{"price":{{"amount":{amount},"currency":{currency}}},"onHand":{on_hand}}}'


INVALID: list[tuple[str, str, str]] = [
    ("{}", "price", "is required"),
    ("{}", "onHand", "is required"),
    ('{"price":{},"onHand":1}', "price.amount", "is required"),
    ('{"price":{},"onHand":1}', "price.currency", "is required"),
    ('{"price":12.5,"onHand":1}', "price", "must be an object"),
    ('{"price":null,"onHand":1}', "price", "must be an object"),
    ("[]", "body", "must be an object"),
    ("null", "body", "must be an object"),
    *[
        (_body(amount=amount), "price.amount", sentence)
        for amount, sentence in {
            "12.5": "must be a string",
            "null": "must be a string",
            '""': DECIMAL,
            '"free"': DECIMAL,
            '"1e3"': DECIMAL,
            '"1_000"': DECIMAL,
            '"1,50"': DECIMAL,
            '" 1"': DECIMAL,
            '"+1"': DECIMAL,
            '"NaN"': DECIMAL,
            '"Infinity"': DECIMAL,
            '"\\u0661"': DECIMAL,
            '"1\\n"': DECIMAL,
            '"0"': "must be more than 0",
            '"0.00"': "must be more than 0",
            '"-1"': "must be more than 0",
            '"-0.00"': "must be more than 0",
            '"10000000000.00"': "must be at most 9999999999.99",
            f'"{"9" * 32}"': "must have at most 18 digits",
            f'"{"9" * 33}"': "must have at most 32 characters",
            '"12.505"': "has more digits than EUR has",
        }.items()
    ],
    (_body('"0.5"', '"JPY"'), "price.amount", "has more digits than JPY has"),
    (_body('"1000000000000"', '"JPY"'), "price.amount", "must be at most 999999999999"),
    *[
        (_body(currency=currency), "price.currency", "must be three capital letters such as EUR")
        for currency in ('"eur"', '"EURO"', '"EU"', '""', '"E1R"', '"EUR\\n"', '"ÄÖÜ"')
    ],
    (_body(currency="978"), "price.currency", "must be a string"),
    *[
        (_body(on_hand=on_hand), "onHand", sentence)
        for on_hand, sentence in {
            '"10"': WHOLE,
            "1.5": WHOLE,
            "1.0": WHOLE,
            "true": WHOLE,
            "null": WHOLE,
            "NaN": WHOLE,
            "-1": "must be at least 0",
            "1000000001": "must be at most 1000000000",
            "1" + "0" * 400: "must be at most 1000000000",
        }.items()
    ],
]


@pytest.mark.parametrize(("body", "field", "sentence"), INVALID)
async def test_a_wrong_field_is_told_what_it_must_be(
    memory_api: httpx.AsyncClient, body: str, field: str, sentence: str
) -> None:
    answer = await memory_api.put("/products/p1", content=body)

    assert assert_error(answer, 400, "Validation failed")[field] == f"{field} {sentence}"
    assert (await memory_api.get("/products/p1")).status_code == 404


async def test_every_wrong_field_is_named_at_once(memory_api: httpx.AsyncClient) -> None:
    answer = await memory_api.put("/products/p1", content=_body('"x"', '"x"', '"x"'))

    assert assert_error(answer, 400).keys() == {"price.amount", "price.currency", "onHand"}


@pytest.mark.parametrize("name", ["%20", "%00", "%7F", "a%0Ab", "%E2%80%8B", "x" * 65])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_what_is_no_product_id_is_told_so(memory_api: httpx.AsyncClient, method: str, name: str) -> None:
    answer = await memory_api.request(method, f"/products/{name}", json=PRODUCT)

    assert assert_error(answer, 400, "Validation failed").keys() == {"productId"}


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
async def test_json_goes_by_several_names(memory_api: httpx.AsyncClient, content_type: str) -> None:
    answer = await memory_api.put("/products/p1", content=json.dumps(PRODUCT), headers={"content-type": content_type})

    assert answer.status_code == 201


async def test_a_body_that_does_not_say_what_it_is_is_taken_for_json(memory_api: httpx.AsyncClient) -> None:
    assert (await memory_api.put("/products/p1", content=json.dumps(PRODUCT))).status_code == 201


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
async def test_another_content_type_is_refused(memory_api: httpx.AsyncClient, content_type: str) -> None:
    answer = await memory_api.put("/products/p1", content=json.dumps(PRODUCT), headers={"content-type": content_type})

    sentence = "Content-Type must be application/json"
    assert_error(answer, 415, "Unsupported media type", {"Content-Type": sentence})


async def test_text_that_is_none_is_told_with_its_field(memory_api: httpx.AsyncClient) -> None:
    answer = await memory_api.put("/products/p1", content=_body('"\\ud800"'))

    assert assert_error(answer, 400, "Validation failed").keys() == {"price.amount"}


@pytest.mark.parametrize(
    "body",
    [
        *("{", '{"price":', "{'price': 1}", b"\xff", b"{\x00}", _body(on_hand="9" * 5000), "[" * 10_000),
        *(_body().encode(encoding) for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32")),
    ],
    ids=lambda body: repr(body[:12]),
)
async def test_what_is_not_json_is_malformed(memory_api: httpx.AsyncClient, body: str | bytes) -> None:
    answer = await memory_api.put("/products/p1", content=body)

    assert "body" in assert_error(answer, 400, "Malformed JSON")


async def test_a_body_of_64_kib_is_read_and_one_byte_more_is_not(memory_api: httpx.AsyncClient) -> None:
    body = json.dumps(PRODUCT).ljust(MAX_BODY)

    assert (await memory_api.put("/products/p1", content=body)).status_code == 201
    answer = await memory_api.put("/products/p1", content=body + " ")

    assert_error(answer, 413, "Content too large", {"body": "the body must be at most 65536 bytes"})


async def test_a_body_without_a_length_is_read_no_further_than_the_limit(memory_api: httpx.AsyncClient) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b" " * 1024

    answer = await memory_api.put("/products/p1", content=endless())

    assert_error(answer, 413)
    assert taken <= 66


async def test_walking_the_pages_meets_every_product_once_by_id(api: httpx.AsyncClient, stock: StockUnderTest) -> None:
    names = ["p1", "p10", "p2", "Käse", "日本"]
    await stock.add(*map(product, names))
    seen: list[str] = []
    sizes: list[int] = []
    cursor: str | None = None

    while cursor is not None or not sizes:
        answer = await api.get("/products", params={"limit": 2, **({"cursor": cursor} if cursor else {})})
        page = answer.json()
        seen += [item["productId"] for item in page["products"]]
        sizes.append(len(page["products"]))
        cursor = page["nextCursor"]

    assert seen == sorted(names)
    assert sizes == [2, 2, 1]


async def test_a_listed_product_is_shown_as_it_is_read_alone(api: httpx.AsyncClient, stock: StockUnderTest) -> None:
    assert (await api.get("/products")).json() == {"products": [], "nextCursor": None}
    await stock.add(product("p1"))
    await stock.write(reserving(uuid7(), {"p1": 4}))

    page = (await api.get("/products")).json()

    assert page == {"products": [(await api.get("/products/p1")).json()], "nextCursor": None}


async def test_the_longest_product_id_makes_a_cursor_that_is_taken_back(memory_api: httpx.AsyncClient) -> None:
    names = sorted("😀" * 63 + last for last in "ab")
    for name in names:
        assert (await memory_api.put(f"/products/{name}", json=PRODUCT)).status_code == 201

    first = (await memory_api.get("/products?limit=1")).json()
    second = (await memory_api.get("/products", params={"limit": 1, "cursor": first["nextCursor"]})).json()

    assert [page["products"][0]["productId"] for page in (first, second)] == names
    assert second["nextCursor"] is None


@pytest.mark.parametrize(
    ("query", "field", "sentence"),
    [
        ("limit=0", "limit", "must be at least 1"),
        ("limit=101", "limit", "must be at most 100"),
        ("limit=ten", "limit", "must be a whole number"),
        *[
            (f"cursor={cursor}", "cursor", "must be the nextCursor of an earlier page")
            for cursor in ("", "x", "cDE=", "cDF", "_w", "AA", "%F0%9F%98%80", "%00", "eHh4" * 60)
        ],
        (f"cursor={'A' * 513}", "cursor", "must have at most 512 characters"),
    ],
)
async def test_a_wrong_parameter_is_told_what_it_must_be(
    memory_api: httpx.AsyncClient, query: str, field: str, sentence: str
) -> None:
    answer = await memory_api.get(f"/products?{query}")

    assert_error(answer, 400, "Validation failed", {field: f"{field} {sentence}"})


async def test_another_method_is_told_those_that_there_are(memory_api: httpx.AsyncClient) -> None:
    answer = await memory_api.delete("/products/p1")

    assert_error(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD, PUT"


class _Away(MemoryStock):
    async def find(self, product_id: ProductId) -> Any:  # noqa: ARG002
        raise StoreUnavailable("the database does not answer (OSError)")


async def test_while_the_database_is_away_the_client_is_asked_to_come_again() -> None:
    async with _client(_Away(MemoryOutbox())) as api:
        answer = await api.get("/products/p1")

    assert_error(answer, 503, "Service unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_the_documentation_has_every_route_with_its_errors(memory_api: httpx.AsyncClient) -> None:
    paths = (await memory_api.get("/openapi.json")).json()["paths"]

    documented = {
        (method, path): set(operation["responses"])
        for path, item in paths.items()
        for method, operation in item.items()
        if path.startswith("/products")
    }
    assert documented == {
        ("put", "/products/{productId}/price"): {"200", *PUT, "404"},
        ("put", "/products/{productId}"): {"200", "201", *PUT, "409"},
        ("get", "/products/{productId}"): {"200", *ANY, "404"},
        ("get", "/products"): {"200", *ANY},
    }
