"""The row of an order: encoding and decoding."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from messaging.postgres.aggregate_table import Column, Table, due
from order_service.domain.order import CustomerId, Order, OrderId, TimelineEntry
from order_service.domain.order_line import OrderLine
from order_service.domain.order_status import ON_THE_WAY, OrderStatus, PaymentStatus, StockStatus
from order_service.infrastructure.message_encoding import ALWAYS_TRACED
from shared_kernel.caller import ANONYMOUS_NAME
from shared_kernel.money import Money
from shared_kernel.product import ProductId, Quantity


def encode_lines(order: Order) -> str:
    """The lines as JSON: `[{"p": product, "q": quantity, "u": unit price in minor units}, …]`. Prices are in the
    currency of the total."""
    return to_json(
        [
            {"p": line.product_id.value, "q": line.quantity.value}
            | ({"u": line.unit_price.minor} if line.unit_price else {})
            for line in order.lines
        ]
    ).decode()


def encode_history(order: Order) -> str:
    """The timeline without its first entry, which is the creation and follows from the row."""
    return to_json([[entry.at, entry.status, entry.detail] for entry in order.timeline[1:]]).decode()


def order_of(row: Any) -> Order:
    """Rehydrate an order from its row."""
    currency = row["currency"]
    return Order(
        id=OrderId(row["id"]),
        customer_id=CustomerId(row["customer_id"]) if row["customer_id"] is not None else None,
        lines=tuple(
            OrderLine(ProductId(line["p"]), Quantity(line["q"]), Money(line["u"], currency) if "u" in line else None)
            for line in json.loads(row["lines"])
        ),
        status=OrderStatus(row["status"]),
        stock=StockStatus(row["stock_status"]),
        payment=PaymentStatus(row["payment_status"]) if row["payment_status"] is not None else None,
        attempts=row["attempts"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        timeline=(
            TimelineEntry(row["created_at"], OrderStatus.PENDING),
            *(
                TimelineEntry(datetime.fromisoformat(at), OrderStatus(status), detail)
                for at, status, detail in json.loads(row["history"])
            ),
        ),
        caller=row["caller"] or ANONYMOUS_NAME,
        total=Money(row["total_minor"], currency) if currency is not None else None,
        reason=row["reason"],
    )


_COLUMNS: Sequence[Column[Order]] = (
    Column("id", "uuid", lambda order: order.id.value),
    Column("customer_id", "text", lambda order: order.customer_id.value if order.customer_id else None),
    Column("status", "text", lambda order: order.status.value),
    Column("stock_status", "text", lambda order: order.stock.value),
    Column("payment_status", "text", lambda order: order.payment.value if order.payment else None),
    Column("version", "integer", lambda order: order.version),
    Column("lines", "jsonb", encode_lines),
    Column("total_minor", "bigint", lambda order: order.total.minor if order.total else None),
    Column("currency", "text", lambda order: order.total.currency if order.total else None),
    Column("reason", "text", lambda order: order.reason),
    Column("history", "jsonb", encode_history),
    Column("created_at", "timestamptz", lambda order: order.created_at),
    Column("updated_at", "timestamptz", lambda order: order.updated_at),
    due("deadline", lambda order: order.patience, while_status_in=sorted(ON_THE_WAY)),
    Column("attempts", "smallint", lambda order: order.attempts),
    Column("caller", "text", lambda _: None, changed="r.caller"),  # whose it is never changes
)

ORDERS = Table("orders", _COLUMNS, order_of, has_origin=True, always_traced=ALWAYS_TRACED)
