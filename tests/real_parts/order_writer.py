"""Orders committed straight through the store, as fast as a test wants: each is placed, cancelled, and released."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from uuid_utils.compat import uuid7

from messaging.postgres.pool import open_pools
from order_service.application.fulfil_order import FulfilOrder
from order_service.application.moments import Moments
from order_service.application.place_order import OrderRequest, PlaceOrder
from order_service.domain.fulfilment import Cancel, StockReleased
from order_service.domain.order_line import OrderLine
from order_service.infrastructure.postgres_orders import PostgresOrders
from shared_kernel.product import ProductId, Quantity
from tests.real_parts.relays import nobody

REQUEST = OrderRequest(lines=(OrderLine(ProductId("p1"), Quantity(2)),))


@dataclass(slots=True)
class OrderWriter:
    """Writes until told to stop; `order_ids` are those whose two events, created and cancelled, are committed. The
    inventory's answer is made up, so no partner is needed."""

    place: PlaceOrder
    fulfil: FulfilOrder
    order_ids: list[str] = field(default_factory=list)

    async def write(self, stop: asyncio.Event, *, pause: float) -> None:
        """Commit an order and its cancellation every `pause` seconds and a bit."""
        while not stop.is_set():
            await self.write_one()
            await asyncio.sleep(pause)

    async def write_one(self) -> str:
        """Commit one order and its cancellation."""
        order_id = await self.place(REQUEST)
        await self.fulfil(order_id, Cancel())
        await self.fulfil(order_id, StockReleased())
        self.order_ids.append(str(order_id))
        return str(order_id)


@asynccontextmanager
async def order_writer(dsn: str) -> AsyncIterator[OrderWriter]:
    """A writer with connections of its own."""
    async with open_pools(dsn) as pools:
        orders = PostgresOrders(dsn, pools, nobody, connections=1, max_batch=100, max_waiting=1000)
        try:
            moments = Moments(lambda: datetime.now(UTC), uuid7, timedelta(minutes=1))
            yield OrderWriter(PlaceOrder(orders, moments, uuid7), FulfilOrder(orders, moments))
        finally:
            await orders.close()
