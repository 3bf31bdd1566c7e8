"""The models of requests and answers, in camelCase. Their limits are shown to clients. The domain checks its own."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from http_api.schemas import MoneyView, Printable, ProductName, money_view
from order_service.domain.order import MAX_LINES, Order
from order_service.domain.order_status import OrderStatus, PaymentStatus, StockStatus
from shared_kernel.product import MAX_QUANTITY


class Item(BaseModel):
    """A product and its quantity."""

    productId: ProductName = Field(examples=["p1"])  # noqa: N815  the names on the wire
    quantity: int = Field(ge=1, le=MAX_QUANTITY, strict=True, examples=[2])


class PlaceOrderRequest(BaseModel):
    """An order to be placed. Fields that are not named here are ignored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [{"productId": "p1", "quantity": 2}]}]})

    items: list[Item] = Field(min_length=1, max_length=MAX_LINES)
    customerId: Printable | None = Field(None, examples=["c1"])  # noqa: N815


class PlacedOrder(BaseModel):
    """The answer to a new order, and to each repetition with the same Idempotency-Key."""

    orderId: str = Field(examples=["019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e"])  # noqa: N815
    status: Literal["PENDING"]


class ItemView(BaseModel):
    """One line of an order. The price is null until the inventory has answered."""

    productId: str  # noqa: N815
    quantity: int
    unitPrice: MoneyView | None  # noqa: N815


class TimelineEntryView(BaseModel):
    """One step in the life of the order."""

    at: datetime
    status: OrderStatus
    detail: str | None


class OrderView(BaseModel):
    """An order as it was last committed."""

    orderId: str  # noqa: N815
    status: OrderStatus
    reason: str | None
    items: list[ItemView]
    total: MoneyView | None
    customerId: str | None  # noqa: N815
    paymentStatus: PaymentStatus | None  # noqa: N815
    stockStatus: StockStatus  # noqa: N815
    version: int
    createdAt: datetime  # noqa: N815
    updatedAt: datetime  # noqa: N815
    timeline: list[TimelineEntryView]


class OrderList(BaseModel):
    """A page of orders, newest first. Pass `nextCursor` as `cursor` for the next page; it is null on the last."""

    orders: list[OrderView]
    nextCursor: str | None  # noqa: N815


def order_view(order: Order) -> OrderView:
    """The view of an order."""
    return OrderView(
        orderId=str(order.id),
        status=order.status,
        reason=order.reason,
        items=[
            ItemView(
                productId=line.product_id.value, quantity=line.quantity.value, unitPrice=money_view(line.unit_price)
            )
            for line in order.lines
        ],
        total=money_view(order.total),
        customerId=order.customer_id.value if order.customer_id else None,
        paymentStatus=order.payment,
        stockStatus=order.stock,
        version=order.version,
        createdAt=order.created_at,
        updatedAt=order.updated_at,
        timeline=[TimelineEntryView(at=entry.at, status=entry.status, detail=entry.detail) for entry in order.timeline],
    )
