"""What goes in and out over HTTP, in camelCase. Limits here are the ones a client is told; the domain checks its
own."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from order_service.domain.money import Money
from order_service.domain.order import MAX_LINES, Order, OrderStatus
from order_service.domain.order_line import MAX_QUANTITY, MAX_TEXT, is_printable_text


def _printable(text: str) -> str:
    if not is_printable_text(text):
        raise ValueError("must be printable: no control characters, and not only spaces")
    return text


Printable = Annotated[
    str,
    Field(
        min_length=1, max_length=MAX_TEXT, description="Printable characters; spaces may be among them, not all of them"
    ),
    AfterValidator(_printable),
]


class Item(BaseModel):
    """One product and how many of it."""

    productId: Printable = Field(examples=["p1"])  # noqa: N815  the names on the wire
    quantity: int = Field(ge=1, le=MAX_QUANTITY, strict=True, examples=[2])


class PlaceOrderRequest(BaseModel):
    """An order to be placed. Fields that are not named here are ignored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [{"productId": "p1", "quantity": 2}]}]})

    items: list[Item] = Field(min_length=1, max_length=MAX_LINES)
    customerId: Printable | None = Field(None, examples=["c1"])  # noqa: N815


class PlacedOrder(BaseModel):
    """The answer to a new order, and to every repetition of it."""

    orderId: str = Field(examples=["019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e"])  # noqa: N815
    status: Literal["PENDING"]


class MoneyView(BaseModel):
    """An exact amount as a decimal string."""

    amount: str = Field(examples=["12.50"])
    currency: str = Field(examples=["EUR"])


class ItemView(BaseModel):
    """One line of an order; the price is null until the catalogue has answered."""

    productId: str  # noqa: N815
    quantity: int
    unitPrice: MoneyView | None  # noqa: N815


class TimelineEntryView(BaseModel):
    """One step of the order's life."""

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
    paymentStatus: str | None  # noqa: N815
    stockStatus: str | None  # noqa: N815
    version: int
    createdAt: datetime  # noqa: N815
    updatedAt: datetime  # noqa: N815
    timeline: list[TimelineEntryView]


class OrderList(BaseModel):
    """A page of orders, newest first. Pass `nextCursor` as `cursor` for the next page; it is null on the last."""

    orders: list[OrderView]
    nextCursor: str | None  # noqa: N815


class ErrorView(BaseModel):
    """Every error has this shape. `errors` maps the path of a field to a sentence about it."""

    status: int = Field(examples=[400])
    message: str = Field(examples=["Validation failed"])
    errors: dict[str, str] = Field(examples=[{"items": "items must not be empty"}])
    timestamp: datetime


def money_view(money: Money | None) -> MoneyView | None:
    """Money on the wire, or null."""
    return MoneyView(amount=money.amount, currency=money.currency) if money else None


def order_view(order: Order) -> OrderView:
    """An order on the wire. Payment and stock are unknown until the services that know them exist."""
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
        paymentStatus=None,
        stockStatus=None,
        version=order.version,
        createdAt=order.created_at,
        updatedAt=order.updated_at,
        timeline=[TimelineEntryView(at=entry.at, status=entry.status, detail=entry.detail) for entry in order.timeline],
    )
