"""Write docs/schemas: a JSON Schema for each event and command, from the shapes that the encoders are typed with.

Run `python docs/generate_schemas.py` after changing a shape. Unknown fields are allowed on purpose: a consumer ignores
what it does not know (docs/events.md).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

from inventory_service.infrastructure import event_encoding as stock_encoding
from inventory_service.infrastructure.event_encoding import StockRejectedV1, StockReleasedV1, StockReservedV1
from order_service.infrastructure import command_encoding, event_encoding
from order_service.infrastructure.command_encoding import (
    ChargePaymentV1,
    RefundPaymentV1,
    ReleaseStockV1,
    ReserveStockV1,
    ShipStockV1,
)
from order_service.infrastructure.event_encoding import (
    OrderCancelledV1,
    OrderCompletedV1,
    OrderConfirmedV1,
    OrderCreatedV1,
    OrderRejectedV1,
)
from payment_service.infrastructure import event_encoding as payment_encoding
from payment_service.infrastructure.event_encoding import PaymentCapturedV1, PaymentDeclinedV1, PaymentRefundedV1

FOLDER = Path(__file__).parent / "schemas"

TOPICS: Mapping[str, Mapping[tuple[str, int], type]] = {
    event_encoding.TOPIC: {
        ("OrderCreatedEvent", 1): OrderCreatedV1,
        ("OrderConfirmedEvent", 1): OrderConfirmedV1,
        ("OrderRejectedEvent", 1): OrderRejectedV1,
        ("OrderCancelledEvent", 1): OrderCancelledV1,
        ("OrderCompletedEvent", 1): OrderCompletedV1,
    },
    command_encoding.INVENTORY_TOPIC: {
        ("ReserveStock", 1): ReserveStockV1,
        ("ReleaseStock", 1): ReleaseStockV1,
        ("ShipStock", 1): ShipStockV1,
    },
    stock_encoding.TOPIC: {
        ("StockReserved", 1): StockReservedV1,
        ("StockRejected", 1): StockRejectedV1,
        ("StockReleased", 1): StockReleasedV1,
    },
    command_encoding.PAYMENT_TOPIC: {
        ("ChargePayment", 1): ChargePaymentV1,
        ("RefundPayment", 1): RefundPaymentV1,
    },
    payment_encoding.TOPIC: {
        ("PaymentCaptured", 1): PaymentCapturedV1,
        ("PaymentDeclined", 1): PaymentDeclinedV1,
        ("PaymentRefunded", 1): PaymentRefundedV1,
    },
}
"""The payload of each type and version that is sent, by topic. A new version stands beside the old one."""

SHAPES: Mapping[tuple[str, int], type] = {name: shape for shapes in TOPICS.values() for name, shape in shapes.items()}
"""The payload of each type and version."""

DEPRECATED: frozenset[tuple[str, int]] = frozenset()
"""What a newer version is sent beside. One release says so, and the next one may no longer send it."""

UUID = {"type": "string", "format": "uuid"}
TIME = {"type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"}


def schemas() -> dict[str, dict[str, Any]]:
    """The schemas by file name: `OrderCreatedEvent.v1.json`."""
    return {f"{kind}.v{version}.json": _message(kind, version, shape) for (kind, version), shape in SHAPES.items()}


def text_of(schema: Mapping[str, Any]) -> str:
    """A schema as its file has it."""
    return json.dumps(schema, indent=2) + "\n"


def _message(kind: str, version: int, shape: type) -> dict[str, Any]:
    payload = _schema(shape)
    envelope = {
        "eventId": UUID | {"description": "Unique, and the same however often the message is sent or replayed"},
        "eventType": {"const": kind},
        "eventVersion": {"const": version},
        "occurredAt": TIME | {"description": "When it was decided, in UTC"},
        "orderId": UUID | {"description": "The order, and the record's key"},
    }
    leaving = {"deprecated": True} if (kind, version) in DEPRECATED else {}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{kind}, version {version}",
        "description": payload["description"],
        "type": "object",
        "properties": envelope | payload["properties"],
        "required": [*envelope, *payload["required"]],
        **leaving,
    }


def _schema(hint: Any) -> dict[str, Any]:
    """Raises TypeError for a hint that no payload has used so far."""
    simple = {str: "string", int: "integer", NoneType: "null"}
    if hint in simple:
        return {"type": simple[hint]}
    if get_origin(hint) is list:
        return {"type": "array", "items": _schema(*get_args(hint))}
    if isinstance(hint, UnionType):
        return {"anyOf": [_schema(option) for option in get_args(hint)]}
    if is_typeddict(hint):
        fields = get_type_hints(hint)
        return {
            "description": hint.__doc__,
            "type": "object",
            "properties": {name: _schema(field) for name, field in fields.items()},
            "required": [name for name in fields if name in hint.__required_keys__],
        }
    raise TypeError(f"{hint} has no JSON Schema here yet")


def main() -> None:
    """Bring the folder up to date."""
    FOLDER.mkdir(exist_ok=True)
    wanted = {FOLDER / name: text_of(schema) for name, schema in schemas().items()}
    for outdated in set(FOLDER.glob("*.json")) - wanted.keys():
        outdated.unlink()
    for path, text in wanted.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
