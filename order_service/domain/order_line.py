"""What is ordered: a product, how many of it and, once the catalogue has answered, at what price."""

from dataclasses import dataclass

from order_service.domain.money import Money

MAX_TEXT = 64
MAX_QUANTITY = 10_000


class InvalidOrderLine(ValueError):
    """A product or a quantity that cannot be ordered; the text says why."""


def is_printable_text(text: str) -> bool:
    """True for 1 to 64 characters that all print (no controls, no NUL, no lone surrogates) and are not only spaces."""
    return 0 < len(text) <= MAX_TEXT and text.isprintable() and not text.isspace()


@dataclass(frozen=True, slots=True)
class ProductId:
    """A product of the catalogue, by the name that the catalogue gave it. Raises InvalidOrderLine."""

    value: str

    def __post_init__(self) -> None:
        if not is_printable_text(self.value):
            raise InvalidOrderLine(f"a product id is 1 to {MAX_TEXT} printable characters, not {self.value!r}")


@dataclass(frozen=True, slots=True)
class Quantity:
    """How many pieces, 1 to 10,000. Raises InvalidOrderLine."""

    value: int

    def __post_init__(self) -> None:
        if not 1 <= self.value <= MAX_QUANTITY:
            raise InvalidOrderLine(f"a quantity is 1 to {MAX_QUANTITY}, not {self.value}")


@dataclass(frozen=True, slots=True)
class OrderLine:
    """`unit_price` is None until the catalogue has priced the order; the client never sends one."""

    product_id: ProductId
    quantity: Quantity
    unit_price: Money | None = None
