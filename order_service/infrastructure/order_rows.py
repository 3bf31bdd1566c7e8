"""An order as a row, and back."""

import json
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from order_service.domain.order import CustomerId, Order, OrderId, TimelineEntry
from order_service.domain.order_line import OrderLine
from order_service.domain.order_status import OrderStatus, PaymentStatus, StockStatus
from shared_kernel.money import Money
from shared_kernel.product import ProductId, Quantity

COLUMNS = (
    "id, customer_id, status, stock_status, payment_status, version, lines, total_minor, currency, reason, history, "
    "created_at, updated_at, attempts"
)


def encode_lines(order: Order) -> str:
    """The lines as JSON: `[{"p": product, "q": quantity, "u": unit price in minor units}, …]`, in the total's
    currency."""
    return to_json(
        [
            {"p": line.product_id.value, "q": line.quantity.value}
            | ({"u": line.unit_price.minor} if line.unit_price else {})
            for line in order.lines
        ]
    ).decode()


def encode_history(order: Order) -> str:
    """The timeline after its first entry, which is the creation and can be told from the row."""
    return to_json([[entry.at, entry.status, entry.detail] for entry in order.timeline[1:]]).decode()


def order_of(row: Any) -> Order:
    """Rehydrate an order from a row with COLUMNS."""
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
        total=Money(row["total_minor"], currency) if currency is not None else None,
        reason=row["reason"],
    )
