"""Payments in figures, for an operator's overview."""

from collections.abc import Sequence
from typing import Any

from messaging.ports.figures import Figure
from messaging.postgres.counting import counted

_OVERDUE_ALARM = 120.0
_IN_DOUBT = f"""
    select {counted("from payments where next_attempt_at is not null")} as in_doubt,
           coalesce(extract(epoch from clock_timestamp() - (
               select next_attempt_at from payments where next_attempt_at is not null order by next_attempt_at limit 1
           )), 0)::float8 as overdue
"""


async def read_figures(pool: Any) -> Sequence[Figure]:
    """See ReadFigures."""
    row = await pool.fetchrow(_IN_DOUBT)
    overdue = max(row["overdue"], 0.0)
    late = f"a call to the gateway has been due for {overdue:.0f} s: is a consumer of the payment service running?"
    return [
        Figure("payments in doubt", row["in_doubt"]),
        Figure("calls overdue by", overdue, "s", late if overdue > _OVERDUE_ALARM else None),
    ]
