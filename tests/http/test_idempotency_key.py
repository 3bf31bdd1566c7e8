"""Idempotency-Key: the first answer again, however often and however it is written."""

import asyncio
import json

import httpx
import pytest

from tests.http.answers import ORDER, assert_error, placed


async def _count(api: httpx.AsyncClient) -> int:
    return len((await api.get("/orders?limit=100")).json()["orders"])


async def test_the_same_request_with_the_same_key_gets_the_first_answer_again(api: httpx.AsyncClient) -> None:
    first, again = [await api.post("/orders", json=ORDER, headers={"Idempotency-Key": "k-1"}) for _ in range(2)]

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert await _count(api) == 1


async def test_it_is_the_same_answer_after_the_order_has_gone_on(api: httpx.AsyncClient) -> None:
    first = await api.post("/orders", json=ORDER, headers={"Idempotency-Key": "k"})
    await api.post(f"{first.headers['location']}/cancel")

    again = await api.post("/orders", json=ORDER, headers={"Idempotency-Key": "k"})

    assert (again.status_code, again.content) == (201, first.content)


@pytest.mark.parametrize(
    "same",
    [
        '{"items":[{"productId":"p1","quantity":2}]}',
        '{"items":[{"quantity":2,"productId":"p1"}],"customerId":null}',
        '\n{ "items" : [ {\t"productId": "p\\u0031", "quantity": 2 } ] }\n',
        '{"unknown":true,"items":[{"productId":"p1","quantity":2,"unknown":[]}]}',
    ],
)
async def test_the_same_request_may_be_written_differently(memory_api: httpx.AsyncClient, same: str) -> None:
    first = await placed(memory_api, ORDER, **{"Idempotency-Key": "k"})

    answer = await memory_api.post("/orders", content=same, headers={"Idempotency-Key": "k"})

    assert answer.json()["orderId"] == first


async def test_another_request_with_the_same_key_is_refused(api: httpx.AsyncClient) -> None:
    await placed(api, ORDER, **{"Idempotency-Key": "k"})

    answer = await api.post("/orders", json=ORDER | {"customerId": "c1"}, headers={"Idempotency-Key": "k"})

    assert_error(
        answer,
        422,
        "Idempotency-Key reused",
        {"Idempotency-Key": "Idempotency-Key k was already used for a different request; use a new key"},
    )
    assert await _count(api) == 1


async def test_a_key_in_quotes_is_the_same_key_as_a_bare_one(memory_api: httpx.AsyncClient) -> None:
    bare = await placed(memory_api, **{"Idempotency-Key": "k"})

    assert await placed(memory_api, **{"Idempotency-Key": '"k"'}) == bare
    assert await placed(memory_api, **{"Idempotency-Key": "K"}) != bare


async def test_a_key_of_255_visible_characters_is_taken(api: httpx.AsyncClient) -> None:
    visible = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != '"')
    longest = (visible * 3)[:255]

    first = await placed(api, **{"Idempotency-Key": longest})

    assert await placed(api, **{"Idempotency-Key": f'"{longest}"'}) == first


@pytest.mark.parametrize(
    "key",
    ["", " ", '""', '"', 'a"b', '"a', "a b", "a\tb", "ä", "x" * 256, f'"{"x" * 256}"', "a\x7f", "\x01"],
    ids=ascii,
)
async def test_what_is_no_key_is_refused(memory_api: httpx.AsyncClient, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    answer = await memory_api.post("/orders", content=json.dumps(ORDER), headers=headers)

    assert_error(
        answer,
        400,
        "Validation failed",
        {"Idempotency-Key": "Idempotency-Key must be 1 to 255 visible characters"},
    )
    assert await _count(memory_api) == 0


async def test_two_keys_are_no_key(memory_api: httpx.AsyncClient) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

    assert_error(await memory_api.post("/orders", json=ORDER, headers=headers), 400)
    assert await _count(memory_api) == 0


async def test_a_key_whose_request_was_refused_is_still_free(memory_api: httpx.AsyncClient) -> None:
    refused = await memory_api.post("/orders", json={"items": []}, headers={"Idempotency-Key": "k"})
    assert refused.status_code == 400

    await placed(memory_api, **{"Idempotency-Key": "k"})


async def test_a_hundred_copies_at_the_same_time_are_one_order(api: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(api.post("/orders", json=ORDER, headers={"Idempotency-Key": "k"}) for _ in range(100))
    )

    assert len({(answer.status_code, answer.content) for answer in answers}) == 1
    assert await _count(api) == 1
