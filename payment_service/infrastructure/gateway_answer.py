"""The answer of a payment gateway. The gateway is another company's program, so its answers may have any content and
any length. Each part is bounded before it is used.
"""

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from messaging.engine.foreign_answers import body_of
from shared_kernel.reason import reason_of

MAX_BODY = 64 * 1024
_MAX_DIGITS = 9
_A_LONG_TIME = timedelta(seconds=10**_MAX_DIGITS)
_SECONDS = re.compile(r"([0-9]+)(?:\.([0-9]*))?")


class _Number(str):
    """A number of a JSON document as text, so that a reference of twenty digits loses none of them."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the fields of the body (none if it cannot be read), and the pause that the gateway asks for, if any.
    `broken` is the error that cut the body off."""

    status: int
    fields: Mapping[str, Any]
    retry_after: timedelta | None
    broken: str = ""

    @property
    def reference(self) -> str | None:
        """The gateway's name for the charge: a text or a number, on one line of at most 500 characters."""
        return reason_of(self.fields.get("reference"), "") or None

    @property
    def reason(self) -> object:
        """The reason of a decline, as the gateway gave it. A number is none."""
        reason = self.fields.get("reason")
        return None if isinstance(reason, _Number) else reason


async def read_answer(response: httpx.Response) -> Answer:
    """Read a response to its end, or until it exceeds 64 KiB."""
    body = await body_of(response, MAX_BODY)
    return replace(head_of(response), fields=_fields(body, response.headers))


def head_of(response: httpx.Response) -> Answer:
    """The answer as far as it is known before its body is read."""
    return Answer(response.status_code, {}, _retry_after(response.headers))


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


def _retry_after(headers: httpx.Headers) -> timedelta | None:
    """The longest Retry-After. A proxy may add its own, or join several with commas. A date is read without its day of
    the week, so its comma does no harm."""
    now = _date(headers.get("Date", "")) or datetime.now(UTC)
    wishes = (_pause(wish.strip(), now) for wish in headers.get_list("Retry-After", split_commas=True))
    return max((wish for wish in wishes if wish is not None), default=None)


def _pause(wish: str, now: datetime) -> timedelta | None:
    """Seconds, rounded up, or a date by the gateway's own clock, which may differ from ours."""
    if seconds := _SECONDS.fullmatch(wish):
        whole, fraction = seconds[1], seconds[2] or ""
        return timedelta(seconds=int(whole) + bool(fraction.strip("0"))) if len(whole) <= _MAX_DIGITS else _A_LONG_TIME
    until = _date(wish)
    return max(until - now, timedelta()) if until else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
