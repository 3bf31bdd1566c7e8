"""Orders committed straight through the store, as fast as a test wants them: each is placed and then cancelled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from uuid_utils.compat import uuid7

from order_service.application.cancel_order import CancelOrder
from order_service.application.place_order import OrderRequest, PlaceOrder
from order_service.domain.order_line import OrderLine, ProductId, Quantity
from order_service.infrastructure.postgres_orders import PostgresOrders, open_reads

REQUEST = OrderRequest(lines=(OrderLine(ProductId("p1"), Quantity(2)),))


@dataclass(slots=True)
class OrderWriter:
    """Writes until told to stop; `order_ids` are those whose two events are committed."""

    place: PlaceOrder
    cancel: CancelOrder
    order_ids: list[str] = field(default_factory=list)

    async def write(self, stop: asyncio.Event, *, pause: float) -> None:
        """Commit an order and its cancellation every `pause` seconds and a bit."""
        while not stop.is_set():
            order_id = await self.place(REQUEST)
            await self.cancel(order_id)
            self.order_ids.append(str(order_id))
            await asyncio.sleep(pause)

    async def write_one(self) -> str:
        """Commit one order and its cancellation."""
        order_id = await self.place(REQUEST)
        await self.cancel(order_id)
        self.order_ids.append(str(order_id))
        return str(order_id)


@asynccontextmanager
async def order_writer(dsn: str) -> AsyncIterator[OrderWriter]:
    """A writer with connections of its own."""
    reads = await open_reads(dsn)
    orders = PostgresOrders(dsn, reads, connections=1, max_batch=100, max_waiting=1000)
    try:
        yield OrderWriter(
            PlaceOrder(orders, lambda: datetime.now(UTC), uuid7), CancelOrder(orders, lambda: datetime.now(UTC), uuid7)
        )
    finally:
        await orders.close()
        await reads.close()
