"""Money as it is written in messages. A changed shape becomes a new type beside this one."""

from typing import TypedDict

from shared_kernel.money import Money


class MoneyV1(TypedDict):
    """A decimal string and an ISO 4217 currency."""

    amount: str
    currency: str


def money_v1(money: Money) -> MoneyV1:
    """Money as it is written into a message."""
    return {"amount": money.amount, "currency": money.currency}
