"""The HTTP answers to the order service's own errors."""

from http_api.errors import Answer, ErrorTable
from order_service.application.find_orders import OrderNotFound
from order_service.application.place_order import IdempotencyKeyReused
from order_service.domain.order_status import IllegalTransition

ERRORS: ErrorTable = {
    OrderNotFound: Answer(404, "Not found", "orderId"),
    IllegalTransition: Answer(409, "Conflict", "status"),
    IdempotencyKeyReused: Answer(422, "Idempotency-Key reused", "Idempotency-Key"),
}
