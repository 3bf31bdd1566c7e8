"""What answers look like, and the orders that tests ask for."""

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx

ORDER = {"items": [{"productId": "p1", "quantity": 2}]}
UUID7 = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def assert_error(
    answer: httpx.Response, status: int, message: str | None = None, errors: Mapping[str, str] | None = None
) -> dict[str, str]:
    """It is an error in the one shape, with this message and these sentences where they are given; answers the
    sentences."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["status", "message", "errors", "timestamp"]
    assert body["status"] == status
    assert _TIMESTAMP.fullmatch(body["timestamp"]), body["timestamp"]
    for field, sentence in body["errors"].items():
        assert isinstance(sentence, str)
        assert field
    if message is not None:
        assert body["message"] == message
    if errors is not None:
        assert body["errors"] == errors
    sentences: dict[str, str] = body["errors"]
    return sentences


async def placed(api: httpx.AsyncClient, order: Any = None, **headers: str) -> str:
    """The id of an order that was placed just now."""
    answer = await api.post("/orders", content=json.dumps(order or ORDER, ensure_ascii=False), headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["orderId"])
