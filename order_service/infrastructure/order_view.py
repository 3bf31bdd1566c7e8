"""An order as the order service sees it: its timeline, and the answers that it waits for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from messaging.ports.order_view import OrderView, Step, Wait
from order_service.domain.fulfilment import awaited
from order_service.domain.order import Order
from order_service.domain.order_status import ON_THE_WAY, OrderStatus
from order_service.infrastructure.order_rows import ORDERS, order_of

_FIND = f"select {ORDERS.names} from orders where id = $1"
_FIND_UNKNOWN = "select last_answer, answers, first_at, last_at from unknown_orders where id = $1"


async def view_order(pool: Any, order_id: UUID) -> OrderView | None:
    """See ViewOrder. An order that was lost is known by the answers of partners about it."""
    row = await pool.fetchrow(_FIND, order_id)
    if row is not None:
        return _view(order_of(row), row["deadline"])
    lost = await pool.fetchrow(_FIND_UNKNOWN, order_id)
    if lost is None:
        return None
    times = "once" if lost["answers"] == 1 else f"{lost['answers']} times"
    steps = (
        Step(lost["first_at"], "unknown", "a partner answered about it, and it is not in the database"),
        Step(lost["last_at"], "unknown", f"answered about {times}, last with {lost['last_answer']}"),
    )
    return OrderView({"status": "UNKNOWN"}, steps if lost["answers"] > 1 else steps[1:])


def _view(order: Order, deadline: datetime | None) -> OrderView:
    state = {"status": order.status.value, "stock": order.stock.value}
    if order.payment is not None:
        state["payment"] = order.payment.value
    if order.total is not None:
        state["total"] = f"{order.total.amount} {order.total.currency}"
    if order.customer_id is not None:
        state["customer"] = order.customer_id.value
    if order.reason is not None:
        state["reason"] = order.reason
    state["version"] = str(order.version)
    steps = [Step(entry.at, entry.status.value, entry.detail or "") for entry in order.timeline]
    waits = _waits(order, deadline)
    return OrderView(state, steps, waits, None if waits else order.updated_at)


def _waits(order: Order, deadline: datetime | None) -> Sequence[Wait]:
    answers = [kind.__name__ for kind in awaited(order)]
    if order.status is OrderStatus.STUCK:
        return [Wait(" and ".join(answers) + f", or `oms orders retry {order.id}`", None)]
    if order.status not in ON_THE_WAY:
        return []
    either = order.status is OrderStatus.PENDING
    return [Wait((" or " if either else " and ").join(answers), deadline)]
