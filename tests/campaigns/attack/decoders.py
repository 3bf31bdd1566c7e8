"""What decodes foreign bytes.

Whatever the bytes are, a decoder returns a value or raises its own error. Any other exception is a finding.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import httpx
from fastapi.exceptions import RequestValidationError

from http_api.access.access_tokens import AccessTokens
from http_api.access.jwks import read_keys
from http_api.access.key_ring import KeyRing
from http_api.access.refusal import Unauthenticated
from http_api.cursor import decode_cursor
from http_api.errors import BadRequest
from messaging.ports.record import Record, Rejected
from order_service.api import place_order_route
from order_service.domain.order import InvalidOrder, OrderId
from payment_service.infrastructure.gateway_answer import read_answer
from shared_kernel.caller import ANONYMOUS
from tests.access import issuer
from tests.contract.consumers import Notes, subscriptions
from tests.contract.test_golden_events import GOLDEN

_loop = asyncio.new_event_loop()
_notes = Notes()
_HANDLERS = {
    (subscription.topic, kind): handler
    for subscription in subscriptions(_notes)
    for kind, handler in subscription.handlers.items()
}
_GOLDEN = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(GOLDEN.glob("*.json"))]
MESSAGES = [
    Record(golden["topic"], 0, 0, golden["key"], golden["headers"], json.dumps(golden["value"]).encode())
    for golden in _GOLDEN
    if (golden["topic"], golden["headers"]["ce_type"]) in _HANDLERS
]


async def _keys() -> Mapping[str, object]:
    return read_keys(issuer.key_set())


_tokens = AccessTokens(issuer.RULES, KeyRing(_keys, source="keys", pause=1e9, keep=1e9))  # type: ignore[arg-type]


def body(data: bytes) -> None:
    """the body of POST /orders"""
    with suppress(RequestValidationError, BadRequest):
        place_order_route._parse(data, None, ANONYMOUS)


def token(data: bytes) -> None:
    """an access token"""
    with suppress(Unauthenticated):
        _loop.run_until_complete(_tokens.caller_of(data.decode("latin-1")))


def key_set(data: bytes) -> None:
    """the key set of an issuer"""
    with suppress(ValueError):
        read_keys(data)


def record(data: bytes) -> None:
    """the value of a record, for each handler"""
    message = MESSAGES[data[0] % len(MESSAGES)] if data else MESSAGES[0]
    with suppress(Rejected):
        _loop.run_until_complete(_HANDLERS[message.topic, message.type](replace(message, value=data[1:])))
    _notes.asked.clear()


def cursor(data: bytes) -> None:
    """the cursor of a list"""
    with suppress(BadRequest, InvalidOrder):
        decode_cursor(data.decode("latin-1"), lambda place: OrderId(UUID(bytes=place)))


def gateway(data: bytes) -> None:
    """the answer of the payment gateway"""
    coding = ("identity", "gzip", "deflate")[data[0] % 3] if data else "identity"
    headers = {b"Content-Encoding": coding.encode(), b"Retry-After": data[1:9]}
    answer = httpx.Response(200, headers=headers, stream=httpx.ByteStream(data[1:]))
    read = _loop.run_until_complete(read_answer(answer))
    _ = read.reference, read.reason


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (body, token, key_set, record, cursor, gateway)
}
