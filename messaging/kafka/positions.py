"""A position as the record that a publisher writes and its successor reads."""

import json
from base64 import b64decode, b64encode
from typing import Final
from uuid import UUID

from messaging.ports.outbox import Position

_EVENT_ID_BYTES: Final = 16


def encode_position(position: Position) -> bytes:
    """About 30 bytes a row. The first event id is there twice, because earlier releases read nothing but that one:
    during a rolling upgrade they may take a shard over."""
    event_ids = b"".join(event_id.bytes for event_id in position.event_ids)
    fields = {
        "ids": position.row_ids,
        "firstEventId": str(position.event_ids[0]),
        "eventIds": b64encode(event_ids).decode(),
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def decode_position(value: bytes) -> Position:
    """Raises TypeError, ValueError, LookupError or AttributeError for what is no position.

    A position of an earlier release says only of its first row which event was in it. So only that row can be known to
    be out. The others are published once more if they are still there: the inboxes of the consumers know them, whereas
    a message that is deleted unpublished is lost for good.
    """
    found = json.loads(value)
    row_ids = tuple(map(int, found["ids"]))
    if "eventIds" not in found:
        return Position(row_ids[:1], (UUID(found["firstEventId"]),))
    packed = b64decode(found["eventIds"], validate=True)
    starts = range(0, len(packed), _EVENT_ID_BYTES)
    event_ids = tuple(UUID(bytes=packed[start : start + _EVENT_ID_BYTES]) for start in starts)
    if len(event_ids) != len(row_ids):
        raise ValueError(f"{len(row_ids)} rows, but {len(event_ids)} events")
    return Position(row_ids, event_ids)
