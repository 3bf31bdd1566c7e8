"""Names of products, in paths and in bodies."""

from urllib.parse import quote, unquote

import httpx
import pytest
from pydantic import TypeAdapter, ValidationError

from http_api.schemas import ProductName
from tests.http.answers import assert_error
from tests.inventory_service.catalogue import PRODUCT

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


@pytest.mark.parametrize("name", ["%20", "%00", "%7F", "a%0Ab", "%E2%80%8B", "x" * 65])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_what_is_no_product_id_is_told_so(memory_api: httpx.AsyncClient, method: str, name: str) -> None:
    answer = await memory_api.request(method, f"/products/{name}", json=PRODUCT)

    assert assert_error(answer, 400, "Validation failed").keys() == {"productId"}
