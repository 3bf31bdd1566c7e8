"""What is ordered: a product, how many of it and, once the catalogue has answered, at what price."""

from dataclasses import dataclass

from shared_kernel.money import Money
from shared_kernel.product import ProductId, Quantity


@dataclass(frozen=True, slots=True)
class OrderLine:
    """`unit_price` is None until the catalogue has priced the order; the client never sends one."""

    product_id: ProductId
    quantity: Quantity
    unit_price: Money | None = None
