"""Commands as the order service sends them, on the way that they take: bytes, headers, topic."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from inventory_service.infrastructure.command_handling import TOPIC
from messaging.ports.message import Message, cloud_event
from messaging.ports.record import Record
from tests.inventory_service.stock import NOW


def message(kind: str, order_id: UUID, *, version: int = 1, **data: Any) -> Message:
    """A command for an order."""
    return cloud_event(
        event_id=uuid7(),
        event_type=kind,
        event_version=version,
        occurred_at=NOW,
        source="/order-service",
        topic=TOPIC,
        order_id=order_id,
        data=data,
    )


def items(*pairs: tuple[str, int]) -> list[dict[str, Any]]:
    """The items of ReserveStock."""
    return [{"productId": name, "quantity": quantity} for name, quantity in pairs]


_offsets = iter(range(1_000_000))


def record(
    sent: Message,
    *,
    key: str | None = None,
    value: bytes | None = None,
    headers: Mapping[str, str | None] | None = None,
) -> Record:
    """The message as it is delivered, or with some of it spoiled; a header that is None is missing."""
    changed: dict[str, str | None] = {**sent.headers, **(headers or {})}
    return Record(
        TOPIC,
        0,
        next(_offsets),
        sent.key if key is None else key,
        {name: content for name, content in changed.items() if content is not None},
        sent.value if value is None else value,
    )
