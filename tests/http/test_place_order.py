"""POST /orders: what is answered, what is stored, and which bytes are taken for an order."""

import gzip
import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from http_api.body_limit import MAX_BODY
from order_service.api.place_order_route import LeanPlaceOrder
from order_service.application.place_order import PlaceOrder
from tests.http.answers import ORDER, UUID7, assert_error, placed

BODY = json.dumps(ORDER).encode()


async def test_a_placed_order_is_answered_with_its_id_its_status_and_its_location(api: httpx.AsyncClient) -> None:
    answer = await api.post("/orders", json=ORDER)

    assert answer.status_code == 201
    order_id = answer.json()["orderId"]
    assert re.fullmatch(UUID7, order_id)
    assert answer.text == f'{{"orderId":"{order_id}","status":"PENDING"}}'
    assert answer.headers["location"] == f"/orders/{order_id}"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.content))


async def test_a_placed_order_is_found_at_its_location_as_it_was_asked_for(api: httpx.AsyncClient) -> None:
    asked = {
        "items": [{"productId": "Größe 42 😀", "quantity": 10_000}, {"productId": "p1", "quantity": 1}],
        "customerId": "c 1",
    }
    answer = await api.post("/orders", json=asked)

    order = (await api.get(answer.headers["location"])).json()

    created_at = order["createdAt"]
    assert order == {
        "orderId": answer.json()["orderId"],
        "status": "PENDING",
        "reason": None,
        "items": [
            {"productId": "Größe 42 😀", "quantity": 10_000, "unitPrice": None},
            {"productId": "p1", "quantity": 1, "unitPrice": None},
        ],
        "total": None,
        "customerId": "c 1",
        "paymentStatus": None,
        "stockStatus": "REQUESTED",
        "version": 1,
        "createdAt": created_at,
        "updatedAt": created_at,
        "timeline": [{"at": created_at, "status": "PENDING", "detail": None}],
    }


async def test_an_order_without_items_is_refused_with_exactly_this_body(api: httpx.AsyncClient) -> None:
    answer = await api.post("/orders", json={"items": []})

    assert answer.status_code == 400
    timestamp = answer.json()["timestamp"]
    assert answer.text == (
        '{"status":400,"message":"Validation failed","errors":{"items":"items must not be empty"},'
        f'"timestamp":"{timestamp}"}}'
    )
    assert_error(answer, 400)


async def test_a_hundred_items_with_the_longest_names_are_an_order(api: httpx.AsyncClient) -> None:
    asked = {"items": [{"productId": "😀" * 64, "quantity": 1}] * 100, "customerId": "x" * 64}

    assert len((await api.get(f"/orders/{await placed(api, asked)}")).json()["items"]) == 100


async def test_fields_that_the_service_does_not_know_are_ignored(memory_api: httpx.AsyncClient) -> None:
    asked = {"items": [{"productId": "p1", "quantity": 1, "price": "0.01"}], "status": "CONFIRMED", "total": 0}

    order = (await memory_api.get(f"/orders/{await placed(memory_api, asked)}")).json()

    assert (order["status"], order["total"], order["items"][0]["unitPrice"]) == ("PENDING", None, None)


async def test_a_customer_may_be_null(memory_api: httpx.AsyncClient) -> None:
    order_id = await placed(memory_api, ORDER | {"customerId": None})

    assert (await memory_api.get(f"/orders/{order_id}")).json()["customerId"] is None


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON;charset=UTF-8",
        "application/vnd.orders+json",
    ],
)
async def test_json_is_taken_whatever_it_calls_itself_and_without_a_name(
    memory_api: httpx.AsyncClient, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    assert (await memory_api.post("/orders", content=BODY, headers=headers)).status_code == 201


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/xml", "json", "", "\xff"],
)
async def test_another_content_type_is_refused(memory_api: httpx.AsyncClient, content_type: str) -> None:
    headers = [(b"Content-Type", content_type.encode("latin-1"))]
    answer = await memory_api.post("/orders", content=BODY, headers=headers)

    assert_error(answer, 415, "Unsupported media type", {"Content-Type": "Content-Type must be application/json"})


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "zstd", "aws-chunked", "identity, gzip"])
async def test_a_compressed_body_is_refused_with_a_sentence_that_names_the_header(
    memory_api: httpx.AsyncClient, encoding: str
) -> None:
    answer = await memory_api.post("/orders", content=gzip.compress(BODY), headers={"Content-Encoding": encoding})

    sentence = "Content-Encoding must be left out: send the body as it is, not compressed"
    assert_error(answer, 415, "Unsupported media type", {"Content-Encoding": sentence})


@pytest.mark.parametrize("charset", ["utf-16", '"UTF-16LE"', "latin-1"])
async def test_a_body_in_another_charset_is_refused(memory_api: httpx.AsyncClient, charset: str) -> None:
    answer = await memory_api.post(
        "/orders", content=BODY, headers={"Content-Type": f"application/json; charset={charset}"}
    )

    sentence = "Content-Type must be application/json in UTF-8"
    assert_error(answer, 415, "Unsupported media type", {"Content-Type": sentence})


@pytest.mark.parametrize(
    ("name", "values"),
    [("Content-Encoding", ["gzip", "identity"]), ("Content-Type", ["text/plain", "application/json"])],
)
async def test_headers_that_come_twice_are_one_list(
    memory_api: httpx.AsyncClient, name: str, values: list[str]
) -> None:
    answer = await memory_api.post("/orders", content=BODY, headers=[(name, value) for value in values])

    assert list(assert_error(answer, 415, "Unsupported media type")) == [name]


async def test_spaces_around_a_header_say_nothing(memory_api: httpx.AsyncClient) -> None:
    answer = await memory_api.post(
        "/orders",
        content=BODY,
        headers=[(b"Content-Encoding", b"identity \t"), (b"Content-Type", b" application/json ")],
    )

    assert answer.status_code == 201


async def test_a_body_that_is_compressed_on_its_way_is_refused_likewise(memory_api: httpx.AsyncClient) -> None:
    headers = {"Transfer-Encoding": "gzip, chunked"}
    answer = await memory_api.post("/orders", content=_in_chunks(gzip.compress(BODY)), headers=headers)

    sentence = "Transfer-Encoding must be chunked alone: send the body as it is, not compressed"
    assert_error(answer, 415, "Unsupported media type", {"Transfer-Encoding": sentence})


async def test_a_body_that_is_said_not_to_be_compressed_is_read(memory_api: httpx.AsyncClient) -> None:
    answer = await memory_api.post("/orders", content=BODY, headers={"Content-Encoding": "identity"})

    assert answer.status_code == 201


async def _in_chunks(body: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("chunked", [False, True], ids=["Content-Length", "chunked"])
@pytest.mark.parametrize(("size", "status"), [(MAX_BODY, 201), (MAX_BODY + 1, 413), (20 * MAX_BODY, 413)])
async def test_a_body_has_at_most_64_kib(memory_api: httpx.AsyncClient, size: int, status: int, chunked: bool) -> None:
    body = BODY + b" " * (size - len(BODY))

    answer = await memory_api.post("/orders", content=_in_chunks(body) if chunked else body)

    assert ("content-length" in answer.request.headers) is not chunked
    assert answer.status_code == status
    if status == 413:
        assert_error(answer, 413, "Content too large", {"body": "the body must be at most 65536 bytes"})


@pytest.mark.parametrize("length", ["", "abc", "-1", "+5", "1_0", "1.5", "0x10", "9" * 19, "9" * 5000])
async def test_a_content_length_that_is_no_number_of_bytes_is_refused(
    memory_api: httpx.AsyncClient, length: str
) -> None:
    answer = await memory_api.post("/orders", content=BODY, headers={"Content-Length": length})

    assert_error(answer, 400, "Validation failed", {"Content-Length": "Content-Length must be a number of bytes"})


async def test_a_body_that_is_announced_as_too_large_is_refused_before_it_is_read() -> None:
    answer = await _asgi_post([], headers=[(b"content-length", b"65537")])

    assert answer == 413


async def test_a_client_that_goes_away_in_the_middle_of_its_body_has_placed_no_order() -> None:
    answer = await _asgi_post([{"type": "http.request", "body": BODY, "more_body": True}, {"type": "http.disconnect"}])

    assert answer == 400


async def _asgi_post(events: list[dict[str, object]], headers: list[tuple[bytes, bytes]] | None = None) -> int:
    """The status that is answered to these events; reading further than they go, or placing an order, is an error."""
    statuses: list[int] = []

    async def receive() -> dict[str, object]:
        assert events, "it reads more than it needs"
        return events.pop(0)

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            status = message["status"]
            assert isinstance(status, int)
            statuses.append(status)

    async def elsewhere(*_: object) -> None:
        raise AssertionError("not for POST /orders")

    def no_order(*_: object) -> None:
        raise AssertionError("nobody asked for an order")

    scope = {"type": "http", "method": "POST", "path": "/orders", "headers": headers or []}
    place = PlaceOrder(orders=None, moment=no_order, new_id=no_order)  # type: ignore[arg-type]
    await LeanPlaceOrder(elsewhere, place)(scope, receive, send)  # type: ignore[arg-type]
    (status,) = statuses
    return status
