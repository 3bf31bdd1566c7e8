"""What the order service publishes, as bytes: its events and its commands."""

from messaging.ports.message import Message
from order_service.domain.commands import ChargePayment, Command, RefundPayment, ReleaseStock, ReserveStock, ShipStock
from order_service.domain.events import OrderEvent
from order_service.infrastructure.command_encoding import encode_command
from order_service.infrastructure.event_encoding import encode as encode_event


def encode(outgoing: OrderEvent | Command) -> Message:
    """The message of an event or a command, final."""
    match outgoing:
        case ReserveStock() | ReleaseStock() | ShipStock() | ChargePayment() | RefundPayment():
            return encode_command(outgoing)
        case _:
            return encode_event(outgoing)
