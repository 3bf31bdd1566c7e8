"""Every way in which a body can be wrong, and the sentence that says so."""

import json
from typing import Any

import httpx
import pytest

from tests.http.answers import assert_error

WHOLE = "must be a whole number, written without quotes or a fraction"
PRINTABLE = "must be printable: no control characters, and not only spaces"
SURROGATE = '"\\ud800"'


def _item(product: str = '"p1"', quantity: str = "1") -> str:
    return f'{{"items":[{{"productId":{product},"quantity":{quantity}}}]}}'


INVALID: list[tuple[str, str, str]] = [
    *[
        (_item(quantity=quantity), "items[0].quantity", sentence)
        for quantity, sentence in {
            '"2"': WHOLE,
            "2.0": WHOLE,
            "2.5": WHOLE,
            "1e2": WHOLE,
            "1e400": WHOLE,
            "true": WHOLE,
            "null": WHOLE,
            "[]": WHOLE,
            "NaN": WHOLE,
            "0": "must be at least 1",
            "-0": "must be at least 1",
            "-1": "must be at least 1",
            "10001": "must be at most 10000",
            "1" + "0" * 400: "must be at most 10000",
            "-1" + "0" * 400: "must be at least 1",
        }.items()
    ],
    *[
        (_item(product=product), "items[0].productId", sentence)
        for product, sentence in {
            '""': "must not be empty",
            '" "': PRINTABLE,
            f'"{"x" * 65}"': "must have at most 64 characters",
            '"a\\u0000b"': PRINTABLE,
            '"a\\nb"': PRINTABLE,
            '"\\u007f"': PRINTABLE,
            '"\\u200b"': PRINTABLE,
            "1": "must be a string",
            "null": "must be a string",
            '["p1"]': "must be a string",
        }.items()
    ],
    ("{}", "items", "is required"),
    ('{"Items":[]}', "items", "is required"),
    ('{"items":[]}', "items", "must not be empty"),
    ('{"items":null}', "items", "must be a list"),
    ('{"items":{}}', "items", "must be a list"),
    ('{"items":"p1"}', "items", "must be a list"),
    ('{"items":[1]}', "items[0]", "must be an object"),
    ('{"items":[null]}', "items[0]", "must be an object"),
    ('{"items":[{"quantity":1}]}', "items[0].productId", "is required"),
    ('{"items":[{"productId":"p1"}]}', "items[0].quantity", "is required"),
    (_item()[:-1] + ',"customerId":""}', "customerId", "must not be empty"),
    (_item()[:-1] + f',"customerId":"{"x" * 65}"}}', "customerId", "must have at most 64 characters"),
    (_item()[:-1] + ',"customerId":"\\u0000"}', "customerId", PRINTABLE),
    (_item()[:-1] + ',"customerId":7}', "customerId", "must be a string"),
    (_item()[:-1] + ',"items":[]}', "items", "must not be empty"),
    (json.dumps({"items": [{"productId": "p1", "quantity": 1}] * 101}), "items", "must have at most 100 entries"),
    ("[]", "body", "must be an object"),
    ("null", "body", "must be an object"),
    ("7", "body", "must be an object"),
    ('"items"', "body", "must be an object"),
]


def _short(value: Any) -> str | None:
    return ascii(value)[:60] if isinstance(value, (str, bytes)) else None


@pytest.mark.parametrize(("body", "field", "sentence"), INVALID, ids=_short)
async def test_a_body_that_breaks_a_rule_is_told_which_field_and_why(
    memory_api: httpx.AsyncClient, body: str, field: str, sentence: str
) -> None:
    answer = await memory_api.post("/orders", content=body)

    assert_error(answer, 400, "Validation failed", {field: f"{field} {sentence}"})


async def test_every_wrong_field_is_named_at_once(memory_api: httpx.AsyncClient) -> None:
    body = {"items": [{"productId": "p1", "quantity": 1}, {"quantity": 0}, {"productId": ""}], "customerId": 1}

    answer = await memory_api.post("/orders", json=body)

    assert_error(
        answer,
        400,
        "Validation failed",
        {
            "items[1].productId": "items[1].productId is required",
            "items[1].quantity": "items[1].quantity must be at least 1",
            "items[2].productId": "items[2].productId must not be empty",
            "items[2].quantity": "items[2].quantity is required",
            "customerId": "customerId must be a string",
        },
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{items:[]}",
        b"{'items':[]}",
        b'{"items":[],}',
        _item().encode() + b" x",
        _item().encode() * 2,
        b"items=p1",
        b"<order/>",
        b"\x00",
        b'{"items":[{"productId":"a\x00b","quantity":1}]}',
        _item().encode() + b"\x00",
        b"\xff\xfe",
        b'{"items":[{"productId":"\xff","quantity":1}]}',
        b'{"items":[{"productId":"\xc0\x80","quantity":1}]}',
        b'{"items":[{"productId":"\xed\xa0\x80","quantity":1}]}',
        _item(product=SURROGATE).encode(),
        _item(product='"\\udc00\\ud800"').encode(),
        b"\xef\xbb\xbf" + _item().encode(),
        _item().encode("utf-16"),
        _item().encode("utf-32"),
        b"[" * 60_000,
        b'{"items":' * 7_000,
        b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"," + _item().encode()[1:],
        _item(quantity="1" + "0" * 5_000).encode(),
    ],
    ids=_short,
)
async def test_a_body_that_is_not_json_is_refused_and_says_where(memory_api: httpx.AsyncClient, body: bytes) -> None:
    sentences = assert_error(await memory_api.post("/orders", content=body), 400, "Malformed JSON")

    assert list(sentences) == ["body"]
    assert sentences["body"].startswith("the body is not JSON: ")
    assert len(sentences["body"]) < 200


async def test_a_hundred_thousand_open_brackets_are_too_large_to_be_looked_at(memory_api: httpx.AsyncClient) -> None:
    assert_error(await memory_api.post("/orders", content=b"[" * 100_000), 413)


async def test_nothing_of_a_refused_order_is_stored(memory_api: httpx.AsyncClient) -> None:
    for body, _, _ in INVALID:
        await memory_api.post("/orders", content=body)

    assert (await memory_api.get("/orders")).json() == {"orders": [], "nextCursor": None}
