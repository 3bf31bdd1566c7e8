"""A line of an order: a product, its quantity and, once the inventory has answered, its price."""

from dataclasses import dataclass

from shared_kernel.money import Money
from shared_kernel.product import ProductId, Quantity


@dataclass(frozen=True, slots=True)
class OrderLine:
    """`unit_price` is None until the inventory has answered. The client never sends a price."""

    product_id: ProductId
    quantity: Quantity
    unit_price: Money | None = None
