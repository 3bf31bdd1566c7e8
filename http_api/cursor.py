"""Opaque cursors: a cursor encodes the place where a page ended. Clients pass it back and do not read it."""

import base64
from collections.abc import Callable
from typing import TypeVar

from http_api.errors import BadRequest

Place = TypeVar("Place")


def encode_cursor(place: bytes) -> str:
    """The cursor of the page after this place."""
    return base64.urlsafe_b64encode(place).rstrip(b"=").decode()


def decode_cursor(cursor: str, place_of: Callable[[bytes], Place]) -> Place:
    """The place in a cursor. `place_of` raises ValueError for bytes that are no place. Raises BadRequest for a cursor
    that encode_cursor did not make."""
    try:
        encoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = place_of(encoded)
    except ValueError:
        encoded, place = b"", None
    if place is None or encode_cursor(encoded) != cursor:
        raise BadRequest(400, "Validation failed", {"cursor": "cursor must be the nextCursor of an earlier page"})
    return place
