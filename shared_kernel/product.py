"""A product by its name, and how many pieces of it: the words in which orders and the catalogue speak to each other.

Creating is not rehydrating: `of` checks what somebody asks for, and the constructors take what was stored, under
whatever rule held then.
"""

import re
from dataclasses import dataclass
from typing import Self

MAX_TEXT = 64
MAX_QUANTITY = 10_000

# Code points and no categories: a category is what one version of Unicode, and so one version of Python, says. Refused
# are controls, lone surrogates, spaces other than the space, what changes the direction of writing or has no width,
# characters of private use, and those that Unicode will never assign. One that it has not assigned yet may be an emoji.
_REFUSED = (
    "\\x00-\\x1f\\x7f-\\xa0\\xad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000"
    "\\ud800-\\uf8ff\ufdd0-\ufdef\ufeff\ufff0-\ufffb\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000f0000-\U0010ffff"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0xF0000, 0x10000))
)
_PRINTABLE = re.compile(f"[^{_REFUSED}]{{1,{MAX_TEXT}}}")


class InvalidProduct(ValueError):
    """A product id or a quantity that cannot be; the text says why."""


def is_printable_text(text: str) -> bool:
    """True for 1 to 64 characters that all print (no controls, no NUL, no lone surrogates) and are not only spaces."""
    return _PRINTABLE.fullmatch(text) is not None and text.strip(" ") != ""


def is_addressable(text: str) -> bool:
    """True for a name that can stand in the path of a URL. Clients take `.` and `..` out, even escaped ones."""
    return text not in (".", "..")


@dataclass(frozen=True, slots=True, order=True)
class ProductId:
    """A product of the catalogue, by the name that the catalogue gave it."""

    value: str

    @classmethod
    def of(cls, text: str) -> Self:
        """The product that somebody asks for. Raises InvalidProduct."""
        if not is_printable_text(text):
            raise InvalidProduct(f"a product id is 1 to {MAX_TEXT} printable characters, not {text!r}")
        if not is_addressable(text):
            raise InvalidProduct(f"a product id is neither . nor .., which no URL can name, but is {text!r}")
        return cls(text)

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Quantity:
    """How many pieces, 1 to 10,000."""

    value: int

    @classmethod
    def of(cls, count: int) -> Self:
        """The quantity that somebody asks for. Raises InvalidProduct."""
        if not 1 <= count <= MAX_QUANTITY:
            raise InvalidProduct(f"a quantity is 1 to {MAX_QUANTITY}, not {count}")
        return cls(count)
