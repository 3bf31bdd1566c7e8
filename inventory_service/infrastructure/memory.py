"""Stock in memory: `INVENTORY_DATABASE_URL=memory`. The same contract as PostgreSQL's, gone when the process ends."""

from collections.abc import Callable, Sequence
from uuid import UUID

from inventory_service.application import StockWrite, StockWriteResult
from inventory_service.domain import Product, Reservation
from inventory_service.infrastructure.event_encoding import encode
from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import Committed, Duplicate
from shared_kernel.product import ProductId


class MemoryStock:
    """A StockStore without a database. One task at a time runs between awaits, so a commit cannot be half seen."""

    is_full = False

    def __init__(self, outbox: MemoryOutbox) -> None:
        self._outbox = outbox
        self._handled: set[UUID] = set()
        self._products: dict[ProductId, Product] = {}
        self.reservations: dict[UUID, Reservation] = {}

    async def commit(self, write: StockWrite) -> StockWriteResult:
        """See StockStore."""
        if write.claim.event_id in self._handled:
            return Duplicate(write.order_id)
        decision = write.decide(self.reservations.get(write.order_id), self._products)
        messages = [encode(event) for event in decision.events]
        self._handled.add(write.claim.event_id)
        self.reservations[write.order_id] = decision.reservation
        self._products.update({product.id: product for product in decision.products})
        self._outbox.add(messages)
        return Committed()

    async def change_product(self, product_id: ProductId, decide: Callable[[Product | None], Product]) -> Product:
        """See StockStore."""
        product = self._products[product_id] = decide(self._products.get(product_id))
        return product

    async def find(self, product_id: ProductId) -> Product | None:
        """See StockStore."""
        return self._products.get(product_id)

    async def page(self, *, after: ProductId | None, limit: int) -> Sequence[Product]:
        """See StockStore."""
        by_id = sorted(self._products.values(), key=lambda product: product.id)
        return [product for product in by_id if after is None or product.id > after][:limit]

    async def close(self) -> None:
        """Nothing to close."""
