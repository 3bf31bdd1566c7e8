"""A message as it goes onto a topic: final bytes, written once, at the time of the decision."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from pydantic_core import to_json


class Message(NamedTuple):
    """Messages of one `key` are published and handled in the order in which they were committed.

    `headers` are CloudEvents 1.0 attributes in Kafka's binary mode. `value` is JSON that repeats its type and ids, so
    that it can be read without the headers.
    """

    event_id: UUID
    topic: str
    key: str
    headers: Mapping[str, str]
    value: bytes

    @property
    def type(self) -> str:
        """The event's or command's type, such as OrderCreatedEvent."""
        return self.headers["ce_type"]


@lru_cache(maxsize=16)  # all messages of a decision have the same time
def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds: 2026-11-23T18:43:16.000123Z. `at` must be an aware time in UTC."""
    return at.isoformat("T", "microseconds").replace("+00:00", "Z")


def cloud_event(
    *,
    event_id: UUID,
    event_type: str,
    event_version: int,
    occurred_at: datetime,
    source: str,
    topic: str,
    order_id: UUID,
    data: Mapping[str, Any],
) -> Message:
    """Wrap `data`, which must be JSON-serialisable, in the envelope of docs/events.md. The key is the order id."""
    key, event, time = str(order_id), str(event_id), timestamp(occurred_at)
    content = {
        "eventId": event,
        "eventType": event_type,
        "eventVersion": event_version,
        "occurredAt": time,
        "orderId": key,
        **data,
    }
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event,
        "ce_source": source,
        "ce_type": event_type,
        "ce_subject": key,
        "ce_time": time,
        "content-type": "application/json",
    }
    return Message(event_id, topic, key, headers, to_json(content))


class Outgoing(Protocol):
    """The attributes that every event and command has. Its type is the name of its class."""

    @property
    def event_id(self) -> UUID:
        """The id by which consumers recognise it when it comes again."""
        ...

    @property
    def order_id(self) -> UUID:
        """The order that it concerns."""
        ...

    @property
    def occurred_at(self) -> datetime:
        """When it was decided."""
        ...


def message_of(outgoing: Outgoing, *, source: str, topic: str, version: int, data: Mapping[str, Any]) -> Message:
    """The final message of an event or a command."""
    return cloud_event(
        event_id=outgoing.event_id,
        event_type=type(outgoing).__name__,
        event_version=version,
        occurred_at=outgoing.occurred_at,
        source=source,
        topic=topic,
        order_id=outgoing.order_id,
        data=data,
    )
