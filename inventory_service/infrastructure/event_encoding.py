"""Stock events as bytes on the topic `inventory-events`. The shapes below are the contract; docs/events.md has the
rules.

The TypedDicts are the payloads after the fields of the envelope. docs/schemas is generated from them.
"""

from typing import TypedDict

from inventory_service.domain import Decision, Reservation, StockEvent, StockRejected, StockReleased, StockReserved
from messaging.ports.message import Message, message_of
from shared_kernel.money_v1 import MoneyV1, money_v1

TOPIC = "inventory-events"
SOURCE = "/inventory-service"
VERSION = 1


class ReservedItemV1(TypedDict):
    """So many pieces of a product, and the price of one."""

    productId: str
    quantity: int
    unitPrice: MoneyV1


class StockReservedV1(TypedDict):
    """All that the order wants is held for it. A product stands in `items` once, whatever the order's lines are."""

    items: list[ReservedItemV1]
    total: MoneyV1


class StockRejectedV1(TypedDict):
    """Nothing is held for the order."""

    reason: str


class StockReleasedV1(TypedDict):
    """Nothing is held for the order any more, and nothing will be."""


Payload = StockReservedV1 | StockRejectedV1 | StockReleasedV1


def encode(event: StockEvent) -> Message:
    """The final message of an event."""
    return message_of(event, source=SOURCE, topic=TOPIC, version=VERSION, data=_payload(event))


def _payload(event: StockEvent) -> Payload:
    match event:
        case StockReserved():
            return {
                "items": [
                    {
                        "productId": line.product_id.value,
                        "quantity": line.quantity,
                        "unitPrice": money_v1(line.unit_price),
                    }
                    for line in event.lines
                ],
                "total": money_v1(event.total),
            }
        case StockRejected():
            return {"reason": event.reason}
        case StockReleased():
            return {}


def effect_of(decision: Decision) -> tuple[Reservation, list[Message]]:
    """The reservation that a store keeps of a decision, and the messages that are sent with it."""
    return decision.reservation, [encode(event) for event in decision.events]
