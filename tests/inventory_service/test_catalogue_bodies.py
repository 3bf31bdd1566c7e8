"""Bodies of PUT: the limits of each field, and everything that a client can do wrong with them."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from http_api.body_limit import MAX_BODY
from tests.http.answers import assert_error
from tests.inventory_service.catalogue import PRODUCT

WHOLE = "must be a whole number, written without quotes or a fraction"
DECIMAL = "must be a decimal number such as 12.50"


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
