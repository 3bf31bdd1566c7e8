"""POST /orders without FastAPI: one validator reads the bytes of the body, and the bytes of the answer are written.

FastAPI's handling of a request (six middlewares, routing, exit stacks, JSON to dict to model and back) costs more time
than storing the order. So this route is a middleware in front of the FastAPI application. The application documents it
like the other routes.
"""

import re
from typing import Annotated, Any

from fastapi import FastAPI, Header
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from http_api.access.guard import needs, require
from http_api.body_limit import read_json_body
from http_api.errors import BadRequest, internal_error, response_to
from http_api.schemas import ErrorView, documented
from messaging.engine.correlation import ORDER_ID
from order_service.api.errors import ERRORS
from order_service.api.schemas import PlacedOrder, PlaceOrderRequest
from order_service.application.place_order import OrderRequest, PlaceOrder
from order_service.domain.order import CustomerId
from order_service.domain.order_line import OrderLine
from shared_kernel.caller import Caller, Scope
from shared_kernel.product import ProductId, Quantity

PATH = "/orders"
_ROUTE = Route(PATH, lambda _: None)
_KEY = re.compile(r"[\x21\x23-\x7e]{1,255}")
_validate = TypeAdapter(PlaceOrderRequest).validator.validate_json

DOCUMENTATION: dict[str, Any] = {
    "summary": "Place an order",
    "description": "Answers once the order and its OrderCreatedEvent are on disk. With an Idempotency-Key, sending the "
    "same request again answers the first order, and another body is refused with 422.",
    "status_code": 201,
    "response_model": PlacedOrder,
    "responses": {
        201: {"headers": {"Location": {"description": "Where the order is", "schema": {"type": "string"}}}},
        422: {"model": ErrorView, "description": "The Idempotency-Key was used for a different request"},
    }
    | documented(400, 401, 403, 413, 415, 429, 503),
}


def _idempotency_key(value: bytes | None) -> str | None:
    if value is None:
        return None
    key = value.decode("latin-1").strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not _KEY.fullmatch(key):
        raise BadRequest(
            400, "Validation failed", {"Idempotency-Key": "Idempotency-Key must be 1 to 255 visible characters"}
        )
    return key


def _parse(body: bytes, key: str | None, caller: Caller) -> OrderRequest:
    try:
        request = _validate(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None
    if request.customerId is not None:
        require(Scope.ORDERS_ON_BEHALF)
    return OrderRequest(
        lines=tuple(OrderLine(ProductId.of(item.productId), Quantity.of(item.quantity)) for item in request.items),
        customer_id=CustomerId.of(request.customerId) if request.customerId is not None else None,
        caller=caller.name,
        idempotency_key=key,
    )


class LeanPlaceOrder:
    """An ASGI middleware that answers POST /orders itself and passes every other request on to `app`."""

    def __init__(self, app: ASGIApp, place_order: PlaceOrder) -> None:
        self._app = app
        self._place_order = place_order

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = _ROUTE
        try:
            placed = str(await self._place_order(await _read_request(scope, receive)))
        except Exception as error:  # noqa: BLE001  every error is answered, and a defect is logged
            response = response_to(error, ERRORS) or internal_error("POST", PATH, error)
            await response(scope, receive, send)
            return
        ORDER_ID.set(placed)
        order_id = placed.encode()
        body = b'{"orderId":"%s","status":"PENDING"}' % order_id
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"location", b"/orders/" + order_id),
        ]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _read_request(scope: AsgiScope, receive: Receive) -> OrderRequest:
    caller = require(Scope.ORDERS_WRITE)
    body = await read_json_body(scope, receive)
    # Two header lines make one list, and a list is not a valid key.
    keys = [value for name, value in scope["headers"] if name == b"idempotency-key"]
    return _parse(body, _idempotency_key(b", ".join(keys) if keys else None), caller)


def document(app: FastAPI) -> None:
    """Add POST /orders to /docs and /openapi.json, and to the routes that decide between a 405 and a 404."""

    async def answered_by_lean_place_order(
        order: PlaceOrderRequest,  # noqa: ARG001  the signature is the documentation
        idempotency_key: Annotated[  # noqa: ARG001
            str | None,
            Header(
                alias="Idempotency-Key",
                description="1 to 255 visible characters, bare or in double quotes; kept as long as the order",
                min_length=1,
                max_length=255,
                pattern=r"^[!#-~]+$",
            ),
        ] = None,
    ) -> None:
        raise AssertionError("LeanPlaceOrder stands before this route")

    app.add_api_route(
        PATH,
        answered_by_lean_place_order,
        methods=["POST"],
        tags=["orders"],
        dependencies=[needs(Scope.ORDERS_WRITE)],
        **DOCUMENTATION,
    )
