"""The events of the inventory and the payment service, and their meaning for the saga.

Each model declares only the fields that are read here. tests/contract reads the partners' golden messages with them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic

from pydantic import BaseModel, BeforeValidator

from messaging.engine.decoding import Body, Envelope, MoneyBody, decoder
from messaging.ports.record import Record, Rejected
from messaging.ports.subscription import Handler, Subscription
from order_service.application.find_orders import OrderNotFound
from order_service.application.fulfil_order import FulfilOrder
from order_service.application.unknown_orders import UnknownOrders
from order_service.domain.fulfilment import (
    Happening,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    StockRejected,
    StockReleased,
    StockReserved,
)
from order_service.domain.order import InvalidOrder, OrderId
from shared_kernel.money import CurrencyMismatch
from shared_kernel.product import ProductId
from shared_kernel.reason import NO_REASON, reason_of

INVENTORY_TOPIC = "inventory-events"
INVENTORY_SOURCE = "/inventory-service"
PAYMENT_TOPIC = "payment-events"
PAYMENT_SOURCE = "/payment-service"


class PricedItem(BaseModel):
    """The price of a product."""

    productId: str  # noqa: N815  the names on the wire
    unitPrice: MoneyBody  # noqa: N815


class StockReservedBody(Envelope):
    """StockReserved."""

    items: list[PricedItem]


class ReasonBody(Envelope):
    """StockRejected and PaymentDeclined. Any reason is accepted, and none as well."""

    reason: Annotated[str, BeforeValidator(reason_of)] = NO_REASON


@dataclass(frozen=True, slots=True)
class _Answer(Generic[Body]):
    """What is read of a partner's event, and what it means for the order."""

    body: type[Body]
    meaning: Callable[[Body], Happening]


def _stock_reserved(body: StockReservedBody) -> StockReserved:
    return StockReserved({ProductId(item.productId): item.unitPrice.as_money() for item in body.items})


_FROM_INVENTORY: Mapping[str, _Answer[Any]] = {
    "StockReserved": _Answer(StockReservedBody, _stock_reserved),
    "StockRejected": _Answer(ReasonBody, lambda body: StockRejected(body.reason)),
    "StockReleased": _Answer(Envelope, lambda _: StockReleased()),
}
_FROM_PAYMENT: Mapping[str, _Answer[Any]] = {
    "PaymentCaptured": _Answer(Envelope, lambda _: PaymentCaptured()),
    "PaymentDeclined": _Answer(ReasonBody, lambda body: PaymentDeclined(body.reason)),
    "PaymentRefunded": _Answer(Envelope, lambda _: PaymentRefunded()),
}
READS: Mapping[str, type[Envelope]] = {
    kind: answer.body for answers in (_FROM_INVENTORY, _FROM_PAYMENT) for kind, answer in answers.items()
}
"""What is read of each type."""


def partner_subscriptions(fulfil: FulfilOrder, unknown: UnknownOrders) -> Sequence[Subscription]:
    """The subscriptions of the saga, with a handler for each event of its partners."""

    def handlers(answers: Mapping[str, _Answer[Any]]) -> Mapping[str, Handler]:
        return {kind: _handler(fulfil, unknown, answer.body, answer.meaning) for kind, answer in answers.items()}

    return (
        Subscription(INVENTORY_TOPIC, handlers(_FROM_INVENTORY), INVENTORY_SOURCE),
        Subscription(PAYMENT_TOPIC, handlers(_FROM_PAYMENT), PAYMENT_SOURCE),
    )


def _handler(
    fulfil: FulfilOrder, unknown: UnknownOrders, model: type[Body], meaning: Callable[[Body], Happening]
) -> Handler:
    decode = decoder(model)

    def handle(record: Record) -> Awaitable[Any]:
        return _handle(fulfil, unknown, decode(record), meaning)

    return handle


async def _handle(
    fulfil: FulfilOrder, unknown: UnknownOrders, body: Body, meaning: Callable[[Body], Happening]
) -> None:
    try:
        order_id, happening = OrderId(body.orderId), meaning(body)
        await fulfil(order_id, happening, body.claim)
    except OrderNotFound as error:
        if await unknown.compensate(order_id, happening, body.claim):
            raise Rejected(f"{error}; what was done for it is taken back") from error
    except (InvalidOrder, CurrencyMismatch) as error:
        raise Rejected(str(error)) from error
