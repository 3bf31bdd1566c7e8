"""Accept an order. The order and its OrderCreatedEvent are stored before the caller gets an answer."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from messaging.ports.changes import Created, Creation, Duplicate, IdempotencyKey
from order_service.application.ports import NewId, OrderCreation, OrderStore
from order_service.domain.fulfilment import Moment, begin
from order_service.domain.order import CustomerId, Order, OrderId
from order_service.domain.order_line import OrderLine
from shared_kernel.caller import ANONYMOUS_NAME


class IdempotencyKeyReused(Exception):
    """The key was used before, by the same caller, for a different request."""

    def __init__(self, key: str) -> None:
        super().__init__(f"Idempotency-Key {key} was already used for a different request; use a new key")
        self.key = key


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """The request of a caller. Repeating it with the same `idempotency_key` returns the first answer."""

    lines: tuple[OrderLine, ...]
    customer_id: CustomerId | None = None
    caller: str = ANONYMOUS_NAME
    idempotency_key: str | None = None

    def claim(self) -> IdempotencyKey | None:
        """The claim on the caller's key for this content. The order of keys and the spaces of the JSON do not
        matter."""
        if self.idempotency_key is None:
            return None
        lines = [[line.product_id.value, line.quantity.value] for line in self.lines]
        content = json.dumps([self.customer_id.value if self.customer_id else None, lines])
        return IdempotencyKey(self.caller, self.idempotency_key, hashlib.sha256(content.encode()).digest())


def decide(
    request: OrderRequest, order_id: OrderId, moment: Moment, claim: IdempotencyKey | None = None
) -> OrderCreation:
    """The new order with its event and the first command of its fulfilment."""
    order = Order.place(
        order_id=order_id,
        customer_id=request.customer_id,
        lines=request.lines,
        now=moment.now,
        event_id=moment.event_id,
        patience=moment.step_timeout,
        caller=request.caller,
    )
    return Creation(order, begin(order, moment).outgoing, claim)


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """The use case with its ports."""

    orders: OrderStore
    moment: Callable[[], Moment]
    new_id: NewId

    async def __call__(self, request: OrderRequest) -> OrderId:
        """Return the order's id once the order is durable. A repeated idempotency key returns the first order's id.

        Raises IdempotencyKeyReused, StoreOverloaded, StoreUnavailable.
        """
        claim = request.claim()
        creation = decide(request, OrderId(self.new_id()), self.moment(), claim)
        match await self.orders.create(creation):
            case Created():
                return creation.aggregate.id
            case Duplicate(first, request_hash):
                if claim is None or request_hash != claim.request_hash:
                    raise IdempotencyKeyReused(request.idempotency_key or "")
                return OrderId(first)
