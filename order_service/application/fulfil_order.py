"""The fulfilment of an order: everything that happens to an order is one write."""

from collections.abc import Callable
from dataclasses import dataclass

from messaging.ports.audit import AuditEntry
from messaging.ports.changes import InboxClaim, Write
from order_service.application.find_orders import OrderNotFound
from order_service.application.ports import OrderStore, Watch
from order_service.domain.fulfilment import Happening, Moment, Reaction, react
from order_service.domain.order import Order, OrderId
from shared_kernel.caller import Caller


@dataclass(frozen=True, slots=True)
class FulfilOrder:
    """The use case with its ports."""

    orders: OrderStore
    moment: Callable[[], Moment]
    watch: Watch = lambda *_: None

    async def __call__(
        self,
        order_id: OrderId,
        happening: Happening,
        claim: InboxClaim | None = None,
        audit: AuditEntry | None = None,
        by: Caller | None = None,
    ) -> Order:
        """Return the order as it is afterwards. `by` is None for what the service itself does: at a deadline, and when
        a partner answers. Raises OrderNotFound, also for an order that the caller may not see, and IllegalTransition.
        """
        moment = self.moment()
        before: Order | None = None

        def decide(order: Order | None) -> Reaction | None:
            nonlocal before
            before = order
            if order is not None and by is not None and not by.may_see(order.caller):
                raise OrderNotFound(order_id, is_anothers=True)
            return react(order, happening, moment) if order else None

        written = await self.orders.write(Write(order_id.value, decide, claim, audit=audit))
        if written.aggregate is None:
            raise OrderNotFound(order_id)
        if written.decision is not None and before is not None:
            self.watch(before, happening, written.decision)
        return written.aggregate
