"""Products and quantities, the values that orders and the catalogue share.

`of` checks the input of a request. The constructors accept stored values, which were checked by the rule of their time.
"""

import re
from dataclasses import dataclass
from typing import Self

MAX_TEXT = 64
MAX_QUANTITY = 10_000

# The rule lists code points, because categories depend on the version of Unicode, and so on that of Python. It refuses
# control characters, lone surrogates, spaces other than U+0020, characters that have no width or change the direction
# of writing, characters of private use, and code points that Unicode will never assign. It accepts code points that are
# not assigned yet: they may become emoji.
_REFUSED = (
    "\\x00-\\x1f\\x7f-\\xa0\\xad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000"
    "\\ud800-\\uf8ff\ufdd0-\ufdef\ufeff\ufff0-\ufffb\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000f0000-\U0010ffff"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0xF0000, 0x10000))
)
_PRINTABLE = re.compile(f"[^{_REFUSED}]{{1,{MAX_TEXT}}}")


class InvalidProduct(ValueError):
    """The product id or the quantity is not valid. The text says why."""


def is_printable_text(text: str) -> bool:
    """True for 1 to 64 printable characters (no controls, no NUL, no lone surrogates) that are not only spaces."""
    return _PRINTABLE.fullmatch(text) is not None and text.strip(" ") != ""


def is_addressable(text: str) -> bool:
    """True for a name that the path of a URL can hold. Clients remove `.` and `..`, even when they are escaped."""
    return text not in (".", "..")


@dataclass(frozen=True, slots=True, order=True)
class ProductId:
    """The name of a product in the catalogue."""

    value: str

    @classmethod
    def of(cls, text: str) -> Self:
        """The product id in a request. Raises InvalidProduct."""
        if not is_printable_text(text):
            raise InvalidProduct(f"a product id is 1 to {MAX_TEXT} printable characters, not {text!r}")
        if not is_addressable(text):
            raise InvalidProduct(f"a product id is neither . nor .., which no URL can name, but is {text!r}")
        return cls(text)

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of pieces, 1 to 10,000."""

    value: int

    @classmethod
    def of(cls, count: int) -> Self:
        """The quantity in a request. Raises InvalidProduct."""
        if not 1 <= count <= MAX_QUANTITY:
            raise InvalidProduct(f"a quantity is 1 to {MAX_QUANTITY}, not {count}")
        return cls(count)
