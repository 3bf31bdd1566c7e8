"""An order as the inventory sees it: its reservation."""

import json
from typing import Any
from uuid import UUID

from messaging.ports.order_view import OrderView, Step

_FIND = "select status, lines, reason, created_at, changed_at from reservations where order_id = $1"


async def view_order(pool: Any, order_id: UUID) -> OrderView | None:
    """See ViewOrder."""
    row = await pool.fetchrow(_FIND, order_id)
    if row is None:
        return None
    lines = ", ".join(f"{line['q']} of {line['p']}" for line in json.loads(row["lines"]))
    state = {"status": row["status"]}
    if lines:
        state["lines"] = lines
    if row["reason"] is not None:
        state["reason"] = row["reason"]
    steps = [Step(row["changed_at"], row["status"], row["reason"] or lines)]
    if row["changed_at"] > row["created_at"]:
        steps.insert(0, Step(row["created_at"], "reservation begun"))
    return OrderView(state, steps, settled_at=row["changed_at"])
