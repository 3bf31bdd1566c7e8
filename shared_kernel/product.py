"""A product by its name, and how many pieces of it: the words in which orders and the catalogue speak to each other."""

from dataclasses import dataclass

MAX_TEXT = 64
MAX_QUANTITY = 10_000


class InvalidProduct(ValueError):
    """A product id or a quantity that cannot be; the text says why."""


def is_printable_text(text: str) -> bool:
    """True for 1 to 64 characters that all print (no controls, no NUL, no lone surrogates) and are not only spaces."""
    return 0 < len(text) <= MAX_TEXT and text.isprintable() and not text.isspace()


@dataclass(frozen=True, slots=True, order=True)
class ProductId:
    """A product of the catalogue, by the name that the catalogue gave it. Raises InvalidProduct."""

    value: str

    def __post_init__(self) -> None:
        if not is_printable_text(self.value):
            raise InvalidProduct(f"a product id is 1 to {MAX_TEXT} printable characters, not {self.value!r}")

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Quantity:
    """How many pieces, 1 to 10,000. Raises InvalidProduct."""

    value: int

    def __post_init__(self) -> None:
        if not 1 <= self.value <= MAX_QUANTITY:
            raise InvalidProduct(f"a quantity is 1 to {MAX_QUANTITY}, not {self.value}")
