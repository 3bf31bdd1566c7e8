"""The method and the path: HEAD, a slash at the end, a person at the root, and names with characters that URLs need."""

import httpx
import pytest

from tests.http.answers import ORDER, assert_error, placed


@pytest.mark.parametrize("path", ["/orders", "/orders?limit=1", "/health/live", "/health/ready", "/metrics", "/docs"])
async def test_head_is_answered_like_get_without_a_body(memory_api: httpx.AsyncClient, path: str) -> None:
    got, head = await memory_api.get(path), await memory_api.head(path)

    assert (head.status_code, head.content) == (200, b"")
    if path != "/metrics":  # which counts what happens meanwhile
        assert head.headers["content-length"] == got.headers["content-length"]
    assert head.headers["content-type"] == got.headers["content-type"]


async def test_head_of_an_order_says_whether_it_is_there(memory_api: httpx.AsyncClient) -> None:
    order_id = await placed(memory_api)

    assert (await memory_api.head(f"/orders/{order_id}")).status_code == 200
    assert (await memory_api.head("/orders/019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e")).status_code == 404


async def test_head_where_there_is_no_get_is_told_the_methods(memory_api: httpx.AsyncClient) -> None:
    answer = await memory_api.head("/orders/019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e/cancel")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_slash_at_the_end_changes_nothing(memory_api: httpx.AsyncClient) -> None:
    order = await memory_api.post("/orders/", json=ORDER)
    order_id = order.json()["orderId"]

    assert (order.status_code, order.headers["location"]) == (201, f"/orders/{order_id}")
    assert (await memory_api.get(f"/orders/{order_id}/")).json()["orderId"] == order_id
    assert (await memory_api.get("/orders/?limit=1")).status_code == 200
    assert (await memory_api.post(f"/orders/{order_id}/cancel/")).status_code == 202
    assert (await memory_api.get("/health/live/")).status_code == 200


@pytest.mark.parametrize("path", ["/orders", "/orders/", "/docs/", "/nowhere/", "//", "/products/", "/"])
async def test_nobody_is_redirected_to_another_scheme_or_host(memory_api: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "POST", "HEAD"):
        answer = await memory_api.request(method, path, headers={"Host": "evil.example"})

        assert answer.headers.get("location", "/").startswith("/")


async def test_a_person_at_the_root_is_sent_to_the_documentation(memory_api: httpx.AsyncClient) -> None:
    answer = await memory_api.get("/")

    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
    assert (await memory_api.get("/", follow_redirects=True)).url.path == "/docs"
    assert_error(await memory_api.post("/"), 405)


@pytest.mark.parametrize("path", ["/orders/%FF", "/%ed%a0%80", "/orders/%C3"])
async def test_a_path_that_is_no_utf_8_is_told_so(memory_api: httpx.AsyncClient, path: str) -> None:
    sentence = "the path must be UTF-8, with every other character percent-encoded"
    assert_error(await memory_api.get(path), 400, "Validation failed", {"path": sentence})
