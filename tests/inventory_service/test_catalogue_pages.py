"""The pages of the catalogue."""

import httpx
import pytest
from uuid_utils.compat import uuid7

from tests.http.answers import assert_error
from tests.inventory_service.catalogue import PRODUCT
from tests.inventory_service.conftest import StockUnderTest
from tests.inventory_service.stock import product, reserving


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
