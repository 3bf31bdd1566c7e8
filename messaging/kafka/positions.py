"""A position as the record that a publisher writes and its successor reads."""

import json
from base64 import b64decode, b64encode
from typing import Final, NamedTuple
from uuid import UUID

from messaging.ports.outbox import Position

_EVENT_ID_BYTES: Final = 16


class Joint(NamedTuple):
    """Joint transactions, by their transactional id without its prefix, and by their producer."""

    id: str
    producer_id: int
    epoch: int


def encode_position(position: Position, joint: Joint | None = None) -> bytes:
    """About 30 bytes a row. `joint` are the transactions that the shard's next batch may be in.

    The first event id is there twice, because earlier releases read nothing but that one: during a rolling upgrade they
    may take a shard over."""
    event_ids = b"".join(event_id.bytes for event_id in position.event_ids)
    fields: dict[str, object] = {
        "ids": position.row_ids,
        "firstEventId": str(position.event_ids[0]),
        "eventIds": b64encode(event_ids).decode(),
    }
    if joint is not None:
        fields["joint"] = joint
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


def joint_of(value: bytes) -> Joint | None:
    """The joint transactions that a position names. Raises TypeError, ValueError or AttributeError for what is no
    position."""
    joint = json.loads(value).get("joint")
    if joint is None:
        return None
    name, producer_id, epoch = joint
    return Joint(str(name), int(producer_id), int(epoch))
