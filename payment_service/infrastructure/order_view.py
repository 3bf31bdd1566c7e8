"""An order as the payment service sees it: its payment, and the call to the gateway that is due."""

from typing import Any
from uuid import UUID

from messaging.ports.order_view import OrderView, Step, Wait
from payment_service.domain.payment import PaymentStatus
from shared_kernel.money import Money

_FIND = """
    select status, amount_minor, currency, reason, reference, attempts, next_attempt_at, created_at, updated_at,
           held_until is not null and held_until > clock_timestamp() as under_way
    from payments where order_id = $1
"""
_CALLED = {PaymentStatus.CHARGING: "charge", PaymentStatus.VOIDING: "charge", PaymentStatus.REFUNDING: "refund"}


async def view_order(pool: Any, order_id: UUID) -> OrderView | None:
    """See ViewOrder."""
    row = await pool.fetchrow(_FIND, order_id)
    if row is None:
        return None
    state = {"status": row["status"]}
    if row["amount_minor"] is not None:
        amount = Money(row["amount_minor"], row["currency"])
        state["amount"] = f"{amount.amount} {amount.currency}"
    state |= {name: row[name] for name in ("reason", "reference") if row[name] is not None}
    state["calls"] = str(row["attempts"])
    steps = [Step(row["created_at"], "payment begun", state.get("amount", ""))]
    if row["updated_at"] > row["created_at"]:
        steps.append(Step(row["updated_at"], row["status"], row["reason"] or ""))
    call = _CALLED.get(PaymentStatus(row["status"]))
    if call is None:
        return OrderView(state, steps, settled_at=row["updated_at"])
    doing = "answers the call under way" if row["under_way"] else "is called again"
    return OrderView(state, steps, [Wait(f"{call}: the gateway {doing}", row["next_attempt_at"])])
