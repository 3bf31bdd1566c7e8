"""The HTTP models that all services share: money, printable text, errors."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from shared_kernel.money import Money
from shared_kernel.product import MAX_TEXT, is_addressable, is_printable_text


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


def _addressable(text: str) -> str:
    if not is_addressable(text):
        raise ValueError("must be neither . nor .., which no URL can name")
    return text


ProductName = Annotated[Printable, AfterValidator(_addressable)]


class MoneyView(BaseModel):
    """An exact amount as a decimal string."""

    amount: str = Field(examples=["12.50"])
    currency: str = Field(examples=["EUR"])


class ErrorView(BaseModel):
    """Every error has this shape. `errors` maps the path of a field to a sentence about it."""

    status: int = Field(examples=[400])
    message: str = Field(examples=["Validation failed"])
    errors: dict[str, str] = Field(examples=[{"items": "items must not be empty"}])
    timestamp: datetime


def money_view(money: Money | None) -> MoneyView | None:
    """Money as it is sent to clients, or null."""
    return MoneyView(amount=money.amount, currency=money.currency) if money else None


_DESCRIPTIONS = {
    400: "The body, a header or a parameter is not what it should be",
    401: "The caller is not known: Authorization is missing or not valid",
    403: "The caller does not have the scope that is needed",
    404: "There is no such thing, as far as the caller may know",
    409: "Its state does not allow it",
    413: "The body is larger than 64 KiB",
    415: "The body is not application/json, or is compressed",
    429: "This caller asks for too much: try again after Retry-After",
    503: "Too busy, or the database is away: try again after Retry-After",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for /docs."""
    return {status: {"model": ErrorView, "description": _DESCRIPTIONS[status]} for status in statuses}
