"""Stock in memory: `INVENTORY_DATABASE_URL=memory`. The contract of PostgreSQL, but nothing survives the process."""

from collections.abc import Callable, Sequence

from inventory_service.application import StockWrite
from inventory_service.domain import Decision, Product, Reservation
from inventory_service.infrastructure.event_encoding import effect_of
from messaging.memory.outbox import MemoryOutbox
from messaging.memory.row_store import MemoryRows
from messaging.ports.audit import AuditEntry
from messaging.ports.changes import Written
from shared_kernel.product import ProductId


class MemoryStock:
    """A StockStore without a database. A write has no await in the middle, so no task sees half of it."""

    is_full = False

    def __init__(self, outbox: MemoryOutbox) -> None:
        self._rows = MemoryRows[Reservation, Decision](outbox, effect_of)
        self._products: dict[ProductId, Product] = {}

    async def write(self, write: StockWrite) -> Written[Reservation, Decision]:
        """See StockStore."""
        written = await self._rows.write(write.upon(self._products))
        if written.decision is not None:
            self._products.update({product.id: product for product in written.decision.products})
        return written

    async def change_product(
        self,
        product_id: ProductId,
        decide: Callable[[Product | None], Product],
        audit: AuditEntry | None = None,  # noqa: ARG002  what does not survive has no trail
    ) -> Product:
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
