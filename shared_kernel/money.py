"""Money: an exact amount in one currency, held in the currency's smallest unit."""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation, Overflow
from typing import Self

# ISO 4217: the currencies whose smallest unit is not a hundredth.
_DIGITS = {
    currency: digits
    for digits, currencies in {
        0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }.items()
    for currency in currencies.split()
}
_MOST_DIGITS = 18  # more do not fit into a bigint; this also refuses 1e999999 before it is expanded
_CURRENCY = re.compile(r"[A-Z]{3}")


class InvalidMoney(ValueError):
    """The amount or the currency is not valid. The text says which and why."""


class CurrencyMismatch(ValueError):
    """Two amounts in different currencies were added."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"cannot add {right} to {left}: the currencies differ")
        self.left = left
        self.right = right


@dataclass(frozen=True, slots=True)
class Money:
    """`minor` counts the smallest unit of `currency` (cents of EUR, yen of JPY). It is never negative.

    Raises InvalidMoney when the currency is not three capital letters or the amount is negative.
    """

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if not _CURRENCY.fullmatch(self.currency):
            raise InvalidMoney(f"currency must be three capital letters such as EUR, not {self.currency!r}")
        if self.minor < 0:
            raise InvalidMoney(f"amount must not be negative, but is {self.minor}")

    @classmethod
    def of(cls, amount: str, currency: str) -> Self:
        """Read a decimal string: `Money.of("12.50", "EUR")`. Raises InvalidMoney, also when the amount has more
        decimals than the currency."""
        try:
            minor = Decimal(amount).scaleb(_DIGITS.get(currency, 2))
        except (InvalidOperation, Overflow):
            raise InvalidMoney(f"amount must be a decimal number such as 12.50, not {amount!r}") from None
        if minor.is_finite() and minor.adjusted() >= _MOST_DIGITS:
            raise InvalidMoney(f"amount must have at most {_MOST_DIGITS} digits")
        if not minor.is_finite() or minor != minor.to_integral_value():
            raise InvalidMoney(f"amount {amount} has more digits than {currency} has")
        return cls(int(minor), currency)

    @property
    def amount(self) -> str:
        """The amount as a decimal string with the currency's own number of digits: "12.50"."""
        return str(Decimal(self.minor).scaleb(-_DIGITS.get(self.currency, 2)))

    def __add__(self, other: Self) -> Self:
        if self.currency != other.currency:
            raise CurrencyMismatch(self.currency, other.currency)
        return type(self)(self.minor + other.minor, self.currency)

    def __mul__(self, times: int) -> Self:
        return type(self)(self.minor * times, self.currency)
