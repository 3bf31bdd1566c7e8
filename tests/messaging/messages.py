"""Messages to publish, whose keys lie in the shards that a test needs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from messaging.ports.message import Message, cloud_event
from messaging.ports.outbox import Batch, shard_of

AT = datetime(2026, 11, 23, 18, 43, 16, tzinfo=UTC)


def key_in(shard: int) -> UUID:
    """A fresh key of this shard."""
    while shard_of(str(key := uuid7())) != shard:
        pass
    return key


def message(key: UUID, number: int = 0, *, topic: str = "order-events", data: str = "") -> Message:
    """The `number`-th message of a key."""
    return cloud_event(
        event_id=uuid7(),
        event_type="OrderCreatedEvent",
        event_version=1,
        occurred_at=AT,
        source="/test",
        topic=topic,
        order_id=key,
        data={"number": number, "data": data},
    )


def messages_in(shard: int, count: int) -> list[Message]:
    """Messages of one shard, spread over three keys."""
    keys = [key_in(shard) for _ in range(3)]
    return [message(keys[number % 3], number) for number in range(count)]


def batch_of(messages: Sequence[Message], *, first_row: int = 1) -> Batch:
    """A batch as an outbox would hand it out."""
    return Batch(list(range(first_row, first_row + len(messages))), list(messages))
