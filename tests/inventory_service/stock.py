"""Products, orders and commands that tests speak of, in few words."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from uuid_utils.compat import uuid7

from inventory_service.application import StockStore, StockWrite
from inventory_service.domain import Product, release, reserve, ship
from messaging.ports.changes import InboxClaim
from shared_kernel.money import Money
from shared_kernel.product import ProductId

NOW = datetime(2026, 11, 23, 18, 43, 16, 123, tzinfo=UTC)


def product(name: str, on_hand: int = 10, *, reserved: int = 0, price: str = "12.50", currency: str = "EUR") -> Product:
    """A product, well stocked unless it is said otherwise."""
    return Product(id=ProductId(name), price=Money.of(price, currency), on_hand=on_hand, reserved=reserved)


def catalogue(*products: Product) -> dict[ProductId, Product]:
    """Products by their ids, as decisions get them."""
    return {product.id: product for product in products}


def wanted(**pieces: int) -> dict[ProductId, int]:
    """What an order wants: `wanted(p1=2, p2=1)`."""
    return {ProductId(name): quantity for name, quantity in pieces.items()}


def _claim(event_id: UUID | None) -> InboxClaim:
    return InboxClaim(event_id or uuid7())


def reserving(order_id: UUID, pieces: Mapping[str, int], *, event_id: UUID | None = None) -> StockWrite:
    """The write of a ReserveStock command; `event_id` is the command's."""
    lines = {ProductId(name): quantity for name, quantity in pieces.items()}
    decide = partial(reserve, order_id=order_id, wanted=lines, event_id=uuid7(), now=NOW)
    return StockWrite(order_id, lines, decide, _claim(event_id))


def releasing(order_id: UUID, *, event_id: UUID | None = None) -> StockWrite:
    """The write of a ReleaseStock command."""
    return StockWrite(order_id, (), partial(release, order_id=order_id, event_id=uuid7(), now=NOW), _claim(event_id))


def shipping(order_id: UUID, *, event_id: UUID | None = None) -> StockWrite:
    """The write of a ShipStock command."""
    return StockWrite(order_id, (), partial(ship, order_id=order_id), _claim(event_id))


async def has_effect(store: StockStore, write: StockWrite) -> bool:
    """Write, and say whether that had an effect."""
    return (await store.write(write)).decision is not None
