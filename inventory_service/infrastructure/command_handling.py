"""Commands from the topic `inventory-commands`: what is read of each, and the use case that handles it."""

from pydantic import BaseModel, Field

from inventory_service.application import ReleaseStock, ReserveStock, ShipStock
from inventory_service.domain import AlreadyShipped, NothingToShip
from messaging.engine.decoding import Envelope, decoder
from messaging.ports.record import Record, Rejected
from messaging.ports.subscription import Subscription
from shared_kernel.product import MAX_QUANTITY, ProductId

TOPIC = "inventory-commands"


class WantedItem(BaseModel):
    """So many pieces of a product."""

    productId: str  # noqa: N815  the names on the wire
    quantity: int = Field(ge=1, le=MAX_QUANTITY, strict=True)


class ReserveStockBody(Envelope):
    """What is read of ReserveStock. A product may stand in several items."""

    items: list[WantedItem] = Field(min_length=1)


def subscriptions(reserve: ReserveStock, release: ReleaseStock, ship: ShipStock) -> tuple[Subscription, ...]:
    """Who handles which command. A command that its order can never follow is rejected."""
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
