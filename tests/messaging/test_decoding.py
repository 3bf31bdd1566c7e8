"""From bytes to what a handler reads: whatever comes, it is a body, or Rejected with a sentence."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel
from uuid_utils.compat import uuid7

from messaging.engine.decoding import Envelope, decoder
from messaging.ports.changes import InboxClaim
from messaging.ports.message import cloud_event
from messaging.ports.record import Record, Rejected

AT = datetime(2026, 11, 23, 18, 43, 16, 123, tzinfo=UTC)


class Item(BaseModel):
    """Part of a body."""

    productId: str  # noqa: N815
    quantity: int


class ReserveStockBody(Envelope):
    """A body with data of its own."""

    items: list[Item]


decode = decoder(ReserveStockBody, newest_version=2)


def _record(data: dict[str, Any] | None = None, **other: Any) -> Record:
    """A record as our services write it, but for `other` fields of its envelope."""
    given = data or {"items": [{"productId": "p1", "quantity": 2}]}
    event = cloud_event(
        event_id=uuid7(),
        event_type="ReserveStock",
        event_version=1,
        occurred_at=AT,
        source="/order-service",
        topic="inventory-commands",
        order_id=uuid7(),
        data=given,
    )
    value = json.dumps(json.loads(event.value) | other).encode() if other else event.value
    return Record(event.topic, 0, 1, event.key, event.headers, value)


def _with(record: Record, *, value: bytes | None = None, key: str | None = None, **headers: str) -> Record:
    return Record(
        record.topic,
        record.partition,
        record.offset,
        record.key if key is None else key,
        {**record.headers, **headers},
        record.value if value is None else value,
    )


def _replaced(old: bytes, new: bytes) -> Record:
    """A record as our services write it, but for a few of its bytes."""
    record = _record()
    assert old in record.value
    return _with(record, value=record.value.replace(old, new))


def test_a_body_has_what_the_message_says() -> None:
    record = _record()

    body = decode(record)

    assert body.items == [Item(productId="p1", quantity=2)]
    assert str(body.orderId) == record.key
    assert body.eventId == record.event_id
    assert body.occurredAt == AT
    assert body.claim == InboxClaim(record.event_id)


def test_fields_that_a_producer_has_added_are_ignored() -> None:
    data = {"items": [{"productId": "p1", "quantity": 2, "note": {"new": [1]}}], "priority": 7}

    assert decode(_record(data)).items == [Item(productId="p1", quantity=2)]


def test_so_is_half_of_a_character_in_them() -> None:
    record = _replaced(b'"p1"', b'"p1","note":"cut \\ud83d"')

    assert decode(record).items == [Item(productId="p1", quantity=2)]


def test_every_version_up_to_the_newest_known_is_read() -> None:
    assert decode(_record(eventVersion=2)).eventVersion == 2


WRONG: dict[str, tuple[Callable[[], Record], str]] = {
    "no JSON": (lambda: _with(_record(), value=b"\x00\xff garbage"), "its value: Invalid JSON"),
    "nothing": (lambda: _with(_record(), value=b""), "its value: Invalid JSON"),
    "not UTF-8": (lambda: _with(_record(), value=b'{"eventId": "\xff"}'), "its value: Invalid JSON"),
    "cut off": (lambda: _with(_record(), value=_record().value[:-5]), "its value: Invalid JSON"),
    "no object": (lambda: _with(_record(), value=b"[1, 2]"), "its value: "),
    "a field is missing": (lambda: _record({"lines": []}), "items: Field required"),
    "a wrong type deep down": (
        lambda: _record({"items": [{"productId": "p1", "quantity": "many"}]}),
        "items.0.quantity: Input should be a valid integer",
    ),
    "a huge number": (lambda: _replaced(b'"quantity":2', b'"quantity":' + b"9" * 5000), "its value: Invalid JSON"),
    "a NUL in a text": (lambda: _replaced(b'"p1"', b'"p\\u0000"'), "its value has a NUL character in a text"),
    "not a number": (lambda: _with(_record(), value=b'{"eventVersion": NaN}'), "eventId: "),
    "a lone surrogate": (
        lambda: _with(_record(), value=b'{"eventId": "\\ud800"}'),
        "eventId: ",
    ),
    "a lone surrogate in a text": (lambda: _replaced(b'"p1"', b'"p\\ud800"'), "its value: Invalid JSON"),
    "a lone surrogate in what is no JSON": (
        lambda: _with(_record(), value=b'{"eventId": "\\ud800"'),
        "its value: Invalid JSON",
    ),
    "a lone surrogate in what is nested too deeply": (
        lambda: _with(_record(), value=b'"\\ud800"' + b"[" * 100_000),
        "its value: Invalid JSON",
    ),
    "a time without a zone": (lambda: _record(occurredAt="2026-11-23T18:43:16"), "occurredAt: "),
    "a version that cannot be": (lambda: _record(eventVersion=0), "eventVersion: "),
    "a newer version": (
        lambda: _record(eventVersion=3),
        "version 3 of ReserveStock is newer than the 2 known here",
    ),
    "nested too deeply": (lambda: _with(_record(), value=b"[" * 100_000), "its value: Invalid JSON"),
    "nested too deeply in a field": (
        lambda: _with(_record(), value=b'{"x":' * 50_000 + b"1" + b"}" * 50_000),
        "its value: Invalid JSON",
    ),
    "another key": (lambda: _with(_record(), key=str(uuid7())), "its key and headers name another"),
    "a key with NUL": (lambda: _with(_record(), key="\0"), "its key and headers name another"),
    "another event id": (lambda: _with(_record(), ce_id=str(uuid7())), "its key and headers name another"),
    "an event id that is none": (lambda: _with(_record(), ce_id="7"), "its header ce_id must be a UUID, not '7'"),
}


@pytest.mark.parametrize(("wrong", "why"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_read_is_rejected_with_a_sentence(wrong: Callable[[], Record], why: str) -> None:
    with pytest.raises(Rejected) as rejection:
        decode(wrong())

    assert str(rejection.value).startswith(why)
    assert len(str(rejection.value)) < 500, "it goes to the log and to the operator's screen"


def test_a_record_without_an_event_id_is_rejected() -> None:
    record = _record()
    headers = {name: value for name, value in record.headers.items() if name != "ce_id"}

    with pytest.raises(Rejected, match="it has no header ce_id"):
        decode(Record(record.topic, 0, 1, record.key, headers, record.value))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.uuids().map(str) | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
_FIELDS = st.sampled_from(["eventId", "eventVersion", "occurredAt", "orderId", "items"])


@given(
    value=st.binary() | _JSON.map(lambda json_value: json.dumps(json_value).encode()),
    key=st.text(st.characters()),
    headers=st.dictionaries(st.sampled_from(["ce_id", "ce_type", "ce_source"]), st.text(st.characters())),
)
@example(value=b"{}", key="\ud800", headers={"ce_id": "\ud800\0"})
def test_any_bytes_are_rejected(value: bytes, key: str, headers: dict[str, str]) -> None:
    with pytest.raises(Rejected):
        decode(Record("inventory-commands", 0, 1, key, headers, value))


@given(wrong=st.dictionaries(_FIELDS, _JSON, max_size=3))
def test_any_fields_make_a_body_or_are_rejected(wrong: dict[str, Any]) -> None:
    record = _record(**wrong)
    try:
        body = decode(record)
    except Rejected as rejection:
        assert str(rejection)  # noqa: PT017  both are right
    else:
        assert body.orderId == UUID(record.key)
        assert body.eventId == record.event_id
        assert 1 <= body.eventVersion <= 2
