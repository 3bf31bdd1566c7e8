"""PUT and GET of products."""

from typing import Any

import httpx
import pytest
from uuid_utils.compat import uuid7

from inventory_service.infrastructure.memory import MemoryStock
from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import StoreUnavailable
from shared_kernel.product import ProductId
from tests.http.answers import assert_error
from tests.inventory_service.catalogue import PRODUCT, client_of
from tests.inventory_service.conftest import StockUnderTest
from tests.inventory_service.stock import product, reserving, shipping

ANY = {"400", "401", "429", "503", "default"}
PUT = ANY | {"403", "413", "415"}


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


async def test_a_product_that_is_not_there_is_named(api: httpx.AsyncClient) -> None:
    assert_error(await api.get("/products/p9"), 404, "Not found", {"productId": "there is no product p9"})


async def test_another_method_is_told_those_that_there_are(memory_api: httpx.AsyncClient) -> None:
    answer = await memory_api.delete("/products/p1")

    assert_error(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD, PUT"


class _Away(MemoryStock):
    async def find(self, product_id: ProductId) -> Any:  # noqa: ARG002
        raise StoreUnavailable("the database does not answer (OSError)")


async def test_while_the_database_is_away_the_client_is_asked_to_come_again() -> None:
    async with client_of(_Away(MemoryOutbox())) as api:
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
