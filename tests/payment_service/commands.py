"""Commands as the order service sends them, and as they are delivered."""

import itertools
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from messaging.ports.message import Message, cloud_event
from messaging.ports.record import Record
from tests.payment_service.payments import NOW

CHARGE: dict[str, Any] = {"amount": {"amount": "29.90", "currency": "EUR"}}
_offsets = itertools.count()


def command(kind: str, order_id: UUID, data: Mapping[str, Any] | None = None, *, version: int = 1) -> Message:
    """A command with an event id of its own."""
    return cloud_event(
        event_id=uuid7(),
        event_type=kind,
        event_version=version,
        occurred_at=NOW,
        source="/order-service",
        topic="payment-commands",
        order_id=order_id,
        data=(CHARGE if kind == "ChargePayment" else {}) if data is None else data,
    )


def delivered(message: Message) -> Record:
    """A message as it comes from the topic, at an offset of its own."""
    return Record(message.topic, 0, next(_offsets), message.key, message.headers, message.value)
