"""The commands of the topic `inventory-commands`, and the use cases that handle them."""

from collections.abc import Mapping

from pydantic import BaseModel, Field

from inventory_service.application import ReleaseStock, ReserveStock, ShipStock
from inventory_service.domain import AlreadyShipped, NothingToShip
from messaging.engine.decoding import Envelope, decoder
from messaging.ports.record import Record, Rejected
from messaging.ports.subscription import Subscription
from shared_kernel.product import MAX_QUANTITY, ProductId

TOPIC = "inventory-commands"


class WantedItem(BaseModel):
    """A product and a quantity."""

    productId: str  # noqa: N815  the names on the wire
    quantity: int = Field(ge=1, le=MAX_QUANTITY, strict=True)


class ReserveStockBody(Envelope):
    """ReserveStock. A product may be in several items."""

    items: list[WantedItem] = Field(min_length=1)


READS: Mapping[str, type[Envelope]] = {
    "ReserveStock": ReserveStockBody,
    "ReleaseStock": Envelope,
    "ShipStock": Envelope,
}
"""What is read of each type."""


def subscriptions(reserve: ReserveStock, release: ReleaseStock, ship: ShipStock) -> tuple[Subscription, ...]:
    """The subscription to the topic. A command that its order's state will never allow is rejected."""
    read_reserve = decoder(ReserveStockBody)
    read = decoder(Envelope)

    async def reserve_stock(record: Record) -> None:
        body = read_reserve(record)
        items = [(ProductId(item.productId), item.quantity) for item in body.items]
        await reserve(body.orderId, items, body.claim)

    async def release_stock(record: Record) -> None:
        body = read(record)
        try:
            await release(body.orderId, body.claim)
        except AlreadyShipped as error:
            raise Rejected(str(error)) from error

    async def ship_stock(record: Record) -> None:
        body = read(record)
        try:
            await ship(body.orderId, body.claim)
        except NothingToShip as error:
            raise Rejected(str(error)) from error

    handlers = {"ReserveStock": reserve_stock, "ReleaseStock": release_stock, "ShipStock": ship_stock}
    return (Subscription(TOPIC, handlers),)
