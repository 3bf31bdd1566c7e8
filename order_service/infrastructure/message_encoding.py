"""The messages of the order service: its events and commands as bytes."""

from messaging.ports.message import Message
from order_service.domain.commands import ChargePayment, Command, RefundPayment, ReleaseStock, ReserveStock, ShipStock
from order_service.domain.events import OrderEvent
from order_service.domain.fulfilment import Reaction
from order_service.domain.order import Order
from order_service.infrastructure.command_encoding import encode_command
from order_service.infrastructure.event_encoding import encode as encode_event

ALWAYS_TRACED = frozenset({"OrderCancelledEvent", "ReleaseStock", "RefundPayment"})
"""What is said when an order is taken back. What follows is recorded, whatever the share of the traces is."""


def encode(outgoing: OrderEvent | Command) -> Message:
    """The final message of an event or a command."""
    match outgoing:
        case ReserveStock() | ReleaseStock() | ShipStock() | ChargePayment() | RefundPayment():
            return encode_command(outgoing)
        case _:
            return encode_event(outgoing)


def effect_of(reaction: Reaction) -> tuple[Order, list[Message]]:
    """The order that a store keeps of a reaction, and the messages that are sent with it."""
    return reaction.order, [encode(outgoing) for outgoing in reaction.outgoing]
