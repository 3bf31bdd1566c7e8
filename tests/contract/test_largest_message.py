"""No message that we can make is larger than what we ask topics to take."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from messaging.kafka.packing import Target, pack
from messaging.kafka.topics import LARGEST_MESSAGE
from messaging.ports.event_publisher import BATCH
from messaging.ports.message import Message
from order_service.domain.commands import ReserveStock
from order_service.domain.events import OrderConfirmedEvent, OrderCreatedEvent
from order_service.domain.order import MAX_LINES, MAX_TOTAL_MINOR
from order_service.domain.order_line import OrderLine
from order_service.infrastructure.command_encoding import encode_command
from order_service.infrastructure.event_encoding import encode
from shared_kernel.money import Money
from shared_kernel.product import MAX_QUANTITY, MAX_TEXT, ProductId, Quantity

_LONGEST_TEXT = "\N{GRINNING FACE}" * MAX_TEXT
_LINES = (OrderLine(ProductId(_LONGEST_TEXT), Quantity(MAX_QUANTITY), Money(MAX_TOTAL_MINOR, "KWD")),) * MAX_LINES


def _largest() -> list[Message]:
    stamp: dict[str, Any] = {"event_id": uuid7(), "order_id": uuid7(), "occurred_at": datetime.now(UTC)}
    event = stamp | {"order_version": 2**31 - 1, "lines": _LINES}
    return [
        encode(OrderCreatedEvent(customer_id=_LONGEST_TEXT, **event)),
        encode(OrderConfirmedEvent(total=Money(MAX_TOTAL_MINOR, "KWD"), **event)),
        encode_command(ReserveStock(lines=_LINES, **stamp)),
    ]


def test_the_largest_messages_make_batches_that_every_topic_must_take() -> None:
    for message in _largest():
        ((_, batch),) = pack([message], {message.topic: Target(message.topic, 1, LARGEST_MESSAGE)})

        assert len(message.value) < batch.size() <= LARGEST_MESSAGE


def test_the_position_of_the_largest_batch_is_no_larger_than_they_are() -> None:
    position = {"ids": [2**63 - 1] * BATCH, "firstEventId": str(UUID(int=0))}

    assert len(json.dumps(position)) < LARGEST_MESSAGE / 2
