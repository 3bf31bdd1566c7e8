"""The routes of orders; POST /orders is in `place_order_route`."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, FastAPI, Path, Query

from messaging.correlation import ORDER_ID
from order_service.api.cursor import decode_cursor, encode_cursor
from order_service.api.errors import BadRequest
from order_service.api.schemas import ErrorView, OrderList, OrderView, order_view
from order_service.application.cancel_order import CancelOrder
from order_service.application.complete_order import CompleteOrder
from order_service.application.find_orders import FindOrders
from order_service.domain.order import InvalidOrder, OrderId, OrderStatus

_UNAVAILABLE = {"model": ErrorView, "description": "The database is away: try again after Retry-After"}
_NOT_FOUND = {"model": ErrorView, "description": "There is no such order"}
_INVALID = {"model": ErrorView, "description": "A parameter is not what it should be"}
_CONFLICT = {"model": ErrorView, "description": "The order is in a state that does not allow it"}
_ONE: dict[int | str, dict[str, Any]] = {400: _INVALID, 404: _NOT_FOUND, 503: _UNAVAILABLE}

OrderIdPath = Annotated[UUID, Path(description="The order's id: a UUID of version 7")]


def _order_id(value: UUID) -> OrderId:
    ORDER_ID.set(str(value))
    try:
        return OrderId(value)
    except InvalidOrder:
        raise BadRequest(400, "Validation failed", {"orderId": "orderId must be a UUID of version 7"}) from None


def add_order_routes(app: FastAPI, find: FindOrders, cancel: CancelOrder, complete: CompleteOrder) -> None:
    """Serve orders."""
    reading = APIRouter(tags=["orders"])

    @reading.get("/orders", responses={400: _INVALID, 503: _UNAVAILABLE}, summary="List orders, newest first")
    async def list_orders(
        status: OrderStatus | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=64)] = None,
    ) -> OrderList:
        before = decode_cursor(cursor) if cursor is not None else None
        page = await find.page(status=status, before=before, limit=limit)
        return OrderList(
            orders=[order_view(order) for order in page.orders],
            nextCursor=encode_cursor(page.next_before) if page.next_before else None,
        )

    @reading.get("/orders/{orderId}", responses=_ONE, summary="Read an order")
    async def read_order(orderId: OrderIdPath) -> OrderView:  # noqa: N803
        return order_view(await find.one(_order_id(orderId)))

    @reading.post("/orders/{orderId}/cancel", responses=_ONE | {409: _CONFLICT}, summary="Take an order back")
    async def cancel_order(orderId: OrderIdPath) -> OrderView:  # noqa: N803
        return order_view(await cancel(_order_id(orderId)))

    @reading.post("/orders/{orderId}/complete", responses=_ONE | {409: _CONFLICT}, summary="Say that the goods left")
    async def complete_order(orderId: OrderIdPath) -> OrderView:  # noqa: N803
        return order_view(await complete(_order_id(orderId)))

    app.include_router(reading)
