"""The opaque cursor of GET /orders: where a page ended, in a form that clients pass back and do not read."""

import base64
import binascii
from uuid import UUID

from http_api.errors import BadRequest
from order_service.domain.order import InvalidOrder, OrderId


def encode_cursor(order_id: OrderId) -> str:
    """The cursor that continues after this order."""
    return base64.urlsafe_b64encode(order_id.value.bytes).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> OrderId:
    """Raises BadRequest for anything that encode_cursor did not make."""
    try:
        order_id = OrderId(UUID(bytes=base64.b64decode(f"{cursor}==", altchars=b"-_", validate=True)))
    except (binascii.Error, ValueError, InvalidOrder):
        order_id = None
    if order_id is None or encode_cursor(order_id) != cursor:
        raise BadRequest(400, "Validation failed", {"cursor": "cursor must be the nextCursor of an earlier page"})
    return order_id
