"""The commands of the fulfilment as bytes on `inventory-commands` and `payment-commands`. docs/events.md has the rules.

The TypedDicts are the payloads after the fields of the envelope. docs/schemas is generated from them.
"""

from typing import TypedDict

from messaging.ports.message import Message, message_of
from order_service.domain.commands import (
    ChargePayment,
    Command,
    RefundPayment,
    ReleaseStock,
    ReserveStock,
    ShipStock,
)
from order_service.infrastructure.event_encoding import SOURCE, VERSION, ItemV1
from shared_kernel.money_v1 import MoneyV1, money_v1

INVENTORY_TOPIC = "inventory-commands"
PAYMENT_TOPIC = "payment-commands"


class ReserveStockV1(TypedDict):
    """Hold all of it, or nothing."""

    items: list[ItemV1]


class ReleaseStockV1(TypedDict):
    """Hold nothing for this order, now and later."""


class ShipStockV1(TypedDict):
    """What is held for this order has left."""


class ChargePaymentV1(TypedDict):
    """Capture this amount. `caller` is whose order it is."""

    amount: MoneyV1
    caller: str


class RefundPaymentV1(TypedDict):
    """Keep nothing of this order's, now and later."""


Payload = ReserveStockV1 | ReleaseStockV1 | ShipStockV1 | ChargePaymentV1 | RefundPaymentV1


def encode_command(command: Command) -> Message:
    """The final message of a command."""
    topic, data = _payload(command)
    return message_of(command, source=SOURCE, topic=topic, version=VERSION, data=data)


def _payload(command: Command) -> tuple[str, Payload]:
    match command:
        case ReserveStock():
            items: list[ItemV1] = [
                {"productId": line.product_id.value, "quantity": line.quantity.value} for line in command.lines
            ]
            return INVENTORY_TOPIC, ReserveStockV1(items=items)
        case ReleaseStock():
            return INVENTORY_TOPIC, ReleaseStockV1()
        case ShipStock():
            return INVENTORY_TOPIC, ShipStockV1()
        case ChargePayment():
            return PAYMENT_TOPIC, ChargePaymentV1(amount=money_v1(command.amount), caller=command.caller)
        case RefundPayment():
            return PAYMENT_TOPIC, RefundPaymentV1()
