"""The routes of orders. POST /orders is in `place_order_route`."""

import re
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, FastAPI, Header, Path, Query, Response

from http_api.access.guard import needs
from http_api.cursor import decode_cursor, encode_cursor
from http_api.errors import BadRequest
from http_api.schemas import documented
from messaging.engine.correlation import ORDER_ID
from order_service.api.schemas import OrderList, OrderView, order_view
from order_service.application.cancel_order import CancelOrder
from order_service.application.complete_order import CompleteOrder
from order_service.application.find_orders import FindOrders
from order_service.domain.order import InvalidOrder, OrderId
from order_service.domain.order_status import OrderStatus
from shared_kernel.caller import Caller, Scope

LONGEST_WAIT = 30

OrderIdPath = Annotated[UUID, Path(description="The order's id: a UUID of version 7")]

_PREFER = f"`wait=N`: answer when the order is settled, or after N seconds, at most {LONGEST_WAIT}"
_WAIT = re.compile(r'wait\s*=\s*"?(\d{1,9})"?')


def _seconds_to_wait(preferences: Sequence[str]) -> int | None:
    """The wait in RFC 7240 preferences. A wait that cannot be read is ignored, and one that is too long is
    shortened."""
    for preference in ",".join(preferences).split(","):
        if found := _WAIT.fullmatch(preference.strip()):
            return min(int(found[1]), LONGEST_WAIT)
    return None


def _order_id(value: UUID) -> OrderId:
    ORDER_ID.set(str(value))
    try:
        return OrderId(value)
    except InvalidOrder:
        raise BadRequest(400, "Validation failed", {"orderId": "orderId must be a UUID of version 7"}) from None


def add_order_routes(app: FastAPI, find: FindOrders, cancel: CancelOrder, complete: CompleteOrder) -> None:
    """Serve orders."""
    reading = APIRouter(tags=["orders"])

    @reading.get(
        "/orders", responses=documented(400, 401, 403, 429, 503), summary="List the caller's orders, newest first"
    )
    async def list_orders(
        caller: Annotated[Caller, needs(Scope.ORDERS_READ)],
        status: OrderStatus | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=64)] = None,
    ) -> OrderList:
        before = decode_cursor(cursor, lambda place: OrderId(UUID(bytes=place))) if cursor is not None else None
        page = await find.page(caller, status=status, before=before, limit=limit)
        return OrderList(
            orders=[order_view(order) for order in page.orders],
            nextCursor=encode_cursor(page.next_before.value.bytes) if page.next_before else None,
        )

    @reading.get("/orders/{orderId}", responses=documented(400, 401, 403, 404, 429, 503), summary="Read an order")
    async def read_order(
        response: Response,
        orderId: OrderIdPath,  # noqa: N803
        caller: Annotated[Caller, needs(Scope.ORDERS_READ)],
        prefer: Annotated[list[str] | None, Header(description=_PREFER)] = None,
    ) -> OrderView:
        order_id, wait = _order_id(orderId), _seconds_to_wait(prefer or [])
        if wait is None:
            return order_view(await find.one(order_id, caller))
        response.headers["Preference-Applied"] = f"wait={wait}"
        return order_view(await find.settled(order_id, caller, within=wait))

    @reading.post(
        "/orders/{orderId}/cancel",
        responses=documented(400, 401, 403, 404, 409, 429, 503)
        | {202: {"model": OrderView, "description": "It is on its way back"}},
        summary="Take an order back",
    )
    async def cancel_order(
        response: Response,
        orderId: OrderIdPath,  # noqa: N803
        caller: Annotated[Caller, needs(Scope.ORDERS_WRITE)],
    ) -> OrderView:
        order = await cancel(_order_id(orderId), caller)
        response.status_code = 200 if order.status is OrderStatus.CANCELLED else 202
        return order_view(order)

    @reading.post(
        "/orders/{orderId}/complete",
        responses=documented(400, 401, 403, 404, 409, 429, 503),
        summary="The goods left",
    )
    async def complete_order(
        orderId: OrderIdPath,  # noqa: N803
        caller: Annotated[Caller, needs(Scope.ORDERS_FULFIL)],
    ) -> OrderView:
        return order_view(await complete(_order_id(orderId), caller))

    app.include_router(reading)
