"""Lead an order through its fulfilment: whatever happens to it, from whomever, is one decision and one commit."""

from collections.abc import Callable
from dataclasses import dataclass

from messaging.ports.changes import Changes, InboxClaim
from messaging.ports.commit import decide_then_commit
from order_service.application.find_orders import FindOrders
from order_service.application.ports import OrderChanges, OrderStore
from order_service.domain.fulfilment import Happening, Moment, react
from order_service.domain.order import Order, OrderId


def decide(order: Order, happening: Happening, moment: Moment, claim: InboxClaim | None = None) -> OrderChanges | None:
    """What becomes of the order, or None when nothing does. Raises IllegalTransition."""
    reaction = react(order, happening, moment)
    return Changes(reaction.order, order.version, reaction.outgoing, claim) if reaction else None


@dataclass(frozen=True, slots=True)
class FulfilOrder:
    """The use case with its ports."""

    orders: OrderStore
    moment: Callable[[], Moment]

    async def __call__(self, order_id: OrderId, happening: Happening, claim: InboxClaim | None = None) -> Order:
        """Answer the order as it stands afterwards. Raises OrderNotFound, IllegalTransition, Contention."""
        return await decide_then_commit(
            load=lambda: FindOrders(self.orders).one(order_id),
            decide=lambda order: decide(order, happening, self.moment(), claim),
            commit=self.orders.commit,
        )
