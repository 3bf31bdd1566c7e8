"""Who asks: a caller of the API, and what this caller may do."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

ANONYMOUS_NAME = "anonymous"
"""Orders that were placed without authentication belong to it. No caller has this name."""
MAX_CALLER = 255


class Scope(StrEnum):
    """What a caller may do. The values are the scopes of access tokens and API keys."""

    ORDERS_WRITE = "orders:write"
    """Place orders and cancel them."""
    ORDERS_READ = "orders:read"
    """Read orders and list them."""
    ORDERS_FULFIL = "orders:fulfil"
    """Complete orders: their goods have left."""
    ORDERS_ON_BEHALF = "orders:on-behalf"
    """Name the customer for whom an order is placed."""
    CATALOGUE_WRITE = "catalogue:write"
    """Put products on sale, and set their prices and their stock."""
    PAYMENTS_READ = "payments:read"
    """Read payments."""
    OPERATOR = "operator"
    """Use the other scopes for the orders of all callers, and read the metrics. It does not include the others."""


def scopes_of(words: Iterable[object]) -> frozenset[Scope]:
    """The scopes among these words. Words that this release does not know are left out."""
    return frozenset(_SCOPES[word] for word in words if isinstance(word, str) and word in _SCOPES)


_SCOPES = {scope.value: scope for scope in Scope}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whose name was proven, unless authentication is off. Orders belong to the name."""

    name: str
    scopes: frozenset[Scope]

    def may_see(self, owner: str) -> bool:
        """True for the caller's own things, and for everything if the caller is an operator."""
        return (owner == self.name and owner != ANONYMOUS_NAME) or Scope.OPERATOR in self.scopes


ANONYMOUS = Caller(ANONYMOUS_NAME, frozenset(Scope))
"""Everybody, while authentication is off."""


def is_caller_name(text: str) -> bool:
    """True for 1 to 255 printable characters without spaces around them, but not for the name of nobody's orders."""
    return text != ANONYMOUS_NAME and 0 < len(text) <= MAX_CALLER and text.isprintable() and text == text.strip()
