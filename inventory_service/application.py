"""The use cases of the inventory service: reserve, release and ship the stock of orders, and keep the catalogue."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol, TypeAlias
from uuid import UUID

from inventory_service.domain import Decision, Product, Reservation, release, reserve, ship
from messaging.ports.audit import AuditEntry, done
from messaging.ports.changes import InboxClaim, Write, Written
from messaging.ports.trace_context import TRACE, TraceContext
from shared_kernel.money import Money
from shared_kernel.product import ProductId

Clock: TypeAlias = Callable[[], datetime]
"""The time now, aware and in UTC."""

NewId: TypeAlias = Callable[[], UUID]
"""A fresh UUIDv7. Later ones sort after earlier ones."""

Decide: TypeAlias = Callable[[Reservation | None, Mapping[ProductId, Product]], Decision]
"""A decision of the domain on an order's reservation and on its products. The mapping has only existing products."""


@dataclass(frozen=True, slots=True)
class StockWrite:
    """A write of the reservation of the order `id`. Its decision also reads products: those in `product_ids` and those
    that are reserved for the order already."""

    id: UUID
    product_ids: Iterable[ProductId]
    decide: Decide
    claim: InboxClaim
    trace: TraceContext | None = field(default_factory=TRACE.get, compare=False, repr=False)

    def upon(self, products: Mapping[ProductId, Product]) -> Write[Reservation, Decision]:
        """The write of the reservation alone, with the stored products bound to its decision."""
        return Write(self.id, lambda reservation: self.decide(reservation, products), self.claim, self.trace)


class StockStore(Protocol):
    """The store of products and reservations. Every method raises StoreUnavailable when the store does not answer."""

    async def write(self, write: StockWrite) -> Written[Reservation, Decision]:
        """Change a reservation and its products. Raises the decision's exceptions and StoreOverloaded. After an
        exception of the decision nothing is stored."""
        ...

    async def change_product(
        self, product_id: ProductId, decide: Callable[[Product | None], Product], audit: AuditEntry | None = None
    ) -> Product:
        """Decide on one product, store it and return it. `audit` is stored together with a change. Raises the
        exceptions of `decide`."""
        ...

    async def find(self, product_id: ProductId) -> Product | None:
        """The product as last committed."""
        ...

    async def page(self, *, after: ProductId | None, limit: int) -> Sequence[Product]:
        """At most `limit` products in the order of their ids. With `after`, only those behind it."""
        ...


@dataclass(frozen=True, slots=True)
class ReserveStock:
    """Hold all items of an order, or none."""

    store: StockStore
    clock: Clock
    new_id: NewId

    async def __call__(self, order_id: UUID, items: Iterable[tuple[ProductId, int]], claim: InboxClaim) -> None:
        """Return once the answer, StockReserved or StockRejected, is committed. A product may be in several items."""
        wanted: dict[ProductId, int] = {}
        for product_id, quantity in items:
            wanted[product_id] = wanted.get(product_id, 0) + quantity
        decide = partial(reserve, order_id=order_id, wanted=wanted, event_id=self.new_id(), now=self.clock())
        await self.store.write(StockWrite(order_id, wanted, decide, claim))


@dataclass(frozen=True, slots=True)
class ReleaseStock:
    """Release the stock of an order, or make sure that none will be held for it."""

    store: StockStore
    clock: Clock
    new_id: NewId

    async def __call__(self, order_id: UUID, claim: InboxClaim) -> None:
        """Return once the answer, StockReleased, is committed. Raises AlreadyShipped."""
        decide = partial(release, order_id=order_id, event_id=self.new_id(), now=self.clock())
        await self.store.write(StockWrite(order_id, (), decide, claim))


@dataclass(frozen=True, slots=True)
class ShipStock:
    """Ship the stock that is held for an order."""

    store: StockStore

    async def __call__(self, order_id: UUID, claim: InboxClaim) -> None:
        """Return once this is committed. Raises NothingToShip."""
        await self.store.write(StockWrite(order_id, (), partial(ship, order_id=order_id), claim))


def _text(price: Money) -> str:
    return f"{price.amount} {price.currency}"


class ProductNotFound(Exception):
    """There is no product of this id."""

    def __init__(self, product_id: ProductId) -> None:
        super().__init__(f"there is no product {product_id}")
        self.product_id = product_id


@dataclass(frozen=True, slots=True)
class PutProduct:
    """Add a product to the catalogue, or set its stock and its price."""

    store: StockStore

    async def __call__(self, product_id: ProductId, *, price: Money, on_hand: int) -> tuple[Product, bool]:
        """Return the product, and whether it is new. Raises OnHandBelowReserved."""
        is_new = False

        def decide(there: Product | None) -> Product:
            nonlocal is_new
            is_new = there is None
            if there is None:
                return Product(id=product_id, price=price, on_hand=on_hand)
            return there.with_stock(price=price, on_hand=on_hand)

        audit = done("product.put", product=product_id.value, price=_text(price), onHand=on_hand)
        return await self.store.change_product(product_id, decide, audit), is_new


@dataclass(frozen=True, slots=True)
class SetPrice:
    """Set the price of a product, and leave its stock as it is."""

    store: StockStore

    async def __call__(self, product_id: ProductId, price: Money) -> Product:
        """Return the changed product. Raises ProductNotFound."""

        def decide(there: Product | None) -> Product:
            if there is None:
                raise ProductNotFound(product_id)
            return there.with_price(price)

        audit = done("product.set-price", product=product_id.value, price=_text(price))
        return await self.store.change_product(product_id, decide, audit)


@dataclass(frozen=True, slots=True)
class ProductPage:
    """`next_after` continues the listing, or is None when this was the last page."""

    products: Sequence[Product]
    next_after: ProductId | None


@dataclass(frozen=True, slots=True)
class FindProducts:
    """Read the catalogue."""

    store: StockStore

    async def one(self, product_id: ProductId) -> Product:
        """The product. Raises ProductNotFound."""
        product = await self.store.find(product_id)
        if product is None:
            raise ProductNotFound(product_id)
        return product

    async def page(self, *, after: ProductId | None, limit: int) -> ProductPage:
        """Products in the order of their ids, those behind `after`."""
        found = await self.store.page(after=after, limit=limit + 1)
        page = found[:limit]
        return ProductPage(page, page[-1].id if len(found) > limit else None)


# p5 is scarce, and costs more than the simulated payment gateway captures.
SAMPLE_PRODUCTS = (
    Product(id=ProductId("p1"), price=Money.of("12.50", "EUR"), on_hand=1_000_000),
    Product(id=ProductId("p2"), price=Money.of("3.99", "EUR"), on_hand=1_000_000),
    Product(id=ProductId("p3"), price=Money.of("149.00", "EUR"), on_hand=1_000),
    Product(id=ProductId("p4"), price=Money.of("0.99", "EUR"), on_hand=1_000_000),
    Product(id=ProductId("p5"), price=Money.of("2499.00", "EUR"), on_hand=10),
)


async def add_sample_products(store: StockStore) -> None:
    """Add products for trials. Products that exist already stay as they are."""
    for sample in SAMPLE_PRODUCTS:
        audit = done("product.add-sample", product=sample.id.value)
        await store.change_product(sample.id, partial(_unless_there, sample), audit)


def _unless_there(sample: Product, there: Product | None) -> Product:
    return there or sample
