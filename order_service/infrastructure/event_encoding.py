"""Order events as bytes on the topic `order-events`. The shapes below are the contract; docs/events.md has the rules.

The TypedDicts are the payloads after the fields of the envelope. docs/schemas is generated from them.
"""

from typing import TypedDict

from messaging.ports.message import Message, message_of
from order_service.domain.events import (
    OrderCancelledEvent,
    OrderCompletedEvent,
    OrderConfirmedEvent,
    OrderCreatedEvent,
    OrderEvent,
    OrderRejectedEvent,
)
from shared_kernel.money_v1 import MoneyV1, money_v1

TOPIC = "order-events"
SOURCE = "/order-service"
VERSION = 1


class ItemV1(TypedDict):
    """What was asked for."""

    productId: str
    quantity: int


class PricedItemV1(ItemV1):
    """What was asked for, with the catalogue's price of one piece."""

    unitPrice: MoneyV1 | None


class OrderCreatedV1(TypedDict):
    """The order was accepted."""

    orderVersion: int
    customerId: str | None
    items: list[ItemV1]


class OrderConfirmedV1(TypedDict):
    """Stock is reserved and the total is paid."""

    orderVersion: int
    items: list[PricedItemV1]
    total: MoneyV1


class OrderRejectedV1(TypedDict):
    """The order cannot be fulfilled."""

    orderVersion: int
    reason: str


class OrderCancelledV1(TypedDict):
    """The order was taken back."""

    orderVersion: int
    reason: str


class OrderCompletedV1(TypedDict):
    """The goods have left."""

    orderVersion: int


Payload = OrderCreatedV1 | OrderConfirmedV1 | OrderRejectedV1 | OrderCancelledV1 | OrderCompletedV1


def encode(event: OrderEvent) -> Message:
    """The final message of an event."""
    return message_of(event, source=SOURCE, topic=TOPIC, version=VERSION, data=_payload(event))


def _payload(event: OrderEvent) -> Payload:
    match event:
        case OrderCreatedEvent():
            return {
                "orderVersion": event.order_version,
                "customerId": event.customer_id,
                "items": [
                    {"productId": line.product_id.value, "quantity": line.quantity.value} for line in event.lines
                ],
            }
        case OrderConfirmedEvent():
            return {
                "orderVersion": event.order_version,
                "items": [
                    {
                        "productId": line.product_id.value,
                        "quantity": line.quantity.value,
                        "unitPrice": money_v1(line.unit_price) if line.unit_price else None,
                    }
                    for line in event.lines
                ],
                "total": money_v1(event.total),
            }
        case OrderRejectedEvent() | OrderCancelledEvent():
            return {"orderVersion": event.order_version, "reason": event.reason}
        case OrderCompletedEvent():
            return {"orderVersion": event.order_version}
