"""Payments in figures, for an operator's overview."""

from collections.abc import Sequence
from typing import Any

from messaging.ports.figures import Figure
from messaging.postgres.counting import counted

_OVERDUE_ALARM = 120.0
_UNANSWERED_ALARM = 10
_UNANSWERED_FOR = 5.0
_IN_DOUBT = "from payments where next_attempt_at is not null"
_UNANSWERED = f"{_IN_DOUBT} and (attempts > 1 or updated_at < clock_timestamp() - interval '{_UNANSWERED_FOR} s')"
_FIGURES = f"""
    select {counted(_IN_DOUBT)} as in_doubt, {counted(_UNANSWERED)} as unanswered,
           coalesce(extract(epoch from clock_timestamp() - (
               select next_attempt_at {_IN_DOUBT} order by next_attempt_at limit 1
           )), 0)::float8 as overdue
"""


async def read_figures(pool: Any) -> Sequence[Figure]:
    """See ReadFigures."""
    row = await pool.fetchrow(_FIGURES)
    overdue, unanswered = max(row["overdue"], 0.0), row["unanswered"]
    slow = f"{unanswered} calls to the gateway have no answer after {_UNANSWERED_FOR:.0f} s: is it slow or away?"
    late = f"a call to the gateway has been due for {overdue:.0f} s: is a consumer of the payment service running?"
    return [
        Figure("payments in doubt", row["in_doubt"], alarm=slow if unanswered >= _UNANSWERED_ALARM else None),
        Figure("calls overdue by", overdue, "s", late if overdue > _OVERDUE_ALARM else None),
    ]
