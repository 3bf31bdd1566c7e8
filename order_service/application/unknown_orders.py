"""Answers about orders that are not in the store are compensated, and operators list the orders."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from messaging.ports.changes import InboxClaim, Write
from order_service.application.ports import UnknownOrderStore
from order_service.domain.fulfilment import Happening, Moment
from order_service.domain.order import OrderId
from order_service.domain.unknown_order import UnknownOrder, compensate, ends_compensation


@dataclass(frozen=True, slots=True)
class UnknownOrders:
    """The use case with its ports. `compensated` is told of each compensation once it is stored."""

    unknown: UnknownOrderStore
    moment: Callable[[], Moment]
    compensated: Callable[[], None] = lambda: None

    async def compensate(self, order_id: OrderId, answer: Happening, claim: InboxClaim) -> bool:
        """Undo what the answer says of the order. False when it says that nothing is left to undo."""
        if ends_compensation(answer):
            return False
        moment = self.moment()
        written = await self.unknown.write(
            Write(order_id.value, lambda known: compensate(known, order_id.value, answer, moment), claim)
        )
        if written.decision is not None:
            self.compensated()
        return True

    async def newest(self, limit: int) -> Sequence[UnknownOrder]:
        """The orders with the newest answers."""
        return await self.unknown.newest(limit)

    async def count(self) -> int:
        """How many there are."""
        return await self.unknown.count()
