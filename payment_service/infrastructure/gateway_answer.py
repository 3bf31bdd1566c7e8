"""The answer of a payment gateway. The gateway is another company's program, so its answers may have any content and
any length. Each part is bounded before it is used.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from messaging.engine.foreign_answers import body_of
from shared_kernel.reason import reason_of

MAX_BODY = 64 * 1024
_MAX_DIGITS = 9
_A_LONG_TIME = timedelta(seconds=10**_MAX_DIGITS)


class _Number(str):
    """A number of a JSON document as text, so that a reference of twenty digits loses none of them."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the fields of the body (none if it cannot be read), and the pause that the gateway asks for."""

    status: int
    fields: Mapping[str, Any]
    retry_after: timedelta

    @property
    def reference(self) -> str | None:
        """The gateway's name for the charge: a text or a number, on one line of at most 500 characters."""
        reference = self.fields.get("reference")
        return reason_of(reference, "") or None if isinstance(reference, str) else None

    @property
    def reason(self) -> str:
        """The reason of a decline. Empty when the gateway gave no text."""
        reason = self.fields.get("reason")
        return reason if isinstance(reason, str) and not isinstance(reason, _Number) else ""


async def read_answer(response: httpx.Response) -> Answer:
    """Read a response to its end, or until it exceeds 64 KiB."""
    body = await body_of(response, MAX_BODY)
    return Answer(response.status_code, _fields(body, response.headers), _retry_after(response.headers))


def _fields(body: bytes, headers: httpx.Headers) -> Mapping[str, Any]:
    try:
        plain = _decompressed(body, headers.get("Content-Encoding", "identity").strip().lower())
        document = json.loads(plain, parse_int=_Number, parse_float=_Number, parse_constant=lambda _: None)
    except (ValueError, RecursionError, zlib.error):
        return {}
    return document if isinstance(document, dict) else {}


def _decompressed(body: bytes, coding: str) -> bytes:
    """The decompressed body. No compression is asked for, but some proxies compress nevertheless. Raises ValueError for
    a body that is too long, before or after."""
    if coding in ("gzip", "x-gzip", "deflate"):
        body = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, MAX_BODY + 1)
    elif coding != "identity":
        raise ValueError(f"nobody asked for {coding}")
    if len(body) > MAX_BODY:
        raise ValueError("too long")
    return body


def _retry_after(headers: httpx.Headers) -> timedelta:
    """Retry-After: seconds, or a date by the gateway's own clock, which may differ from ours."""
    wish = headers.get("Retry-After", "").strip()
    if wish.isascii() and wish.isdigit():
        return timedelta(seconds=int(wish)) if len(wish) <= _MAX_DIGITS else _A_LONG_TIME
    until, now = _date(wish), _date(headers.get("Date", "")) or datetime.now(UTC)
    return max(until - now, timedelta()) if until else timedelta()


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
