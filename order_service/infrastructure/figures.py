"""Orders in figures, for an operator's overview."""

from collections.abc import Sequence
from typing import Any

from messaging.ports.figures import Figure
from messaging.postgres.counting import counted

_OVERDUE_ALARM = 60.0
_RATE_OVER = 60.0
_MOST_RECENT = 5_000


_COUNTS = f"""
    select {counted("from orders where status in ('PENDING', 'CANCELLING')")} as under_way,
           {counted("from orders where status = 'STUCK'")} as stuck,
           {counted("from unknown_orders")} as unknown,
           exists (select from unknown_orders where last_at > clock_timestamp() - interval '1 day') as unknown_today,
           coalesce(extract(epoch from clock_timestamp() - (
               select deadline from orders where deadline is not null order by deadline limit 1
           )), 0)::float8 as overdue
"""
# The ids of orders begin with their time, so the newest orders are the end of the primary key.
_RECENT = f"""
    with bound as (
        select rpad(lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint - {_RATE_OVER * 1000:.0f}),
                         12, '0'), 32, '0')::uuid as id
    ), recent as (
        select o.status, o.created_at, o.updated_at from orders o, bound
        where o.id >= bound.id order by o.id desc limit {_MOST_RECENT}
    ), settled as (
        select extract(epoch from updated_at - created_at) as seconds from recent
        where status in ('CONFIRMED', 'REJECTED', 'CANCELLED')
    )
    select (select count(*) from recent)::bigint as placed, (select count(*) from settled)::bigint as settled,
           (select extract(epoch from clock_timestamp() - min(created_at)) from recent)::float8 as span,
           (select percentile_disc(0.5) within group (order by seconds) from settled)::float8 as p50,
           (select percentile_disc(0.99) within group (order by seconds) from settled)::float8 as p99
"""


async def read_figures(pool: Any) -> Sequence[Figure]:
    """See ReadFigures. The rates and times are of the orders that were placed in the last minute."""
    counts, recent = await pool.fetchrow(_COUNTS), await pool.fetchrow(_RECENT)
    overdue = max(counts["overdue"], 0.0)
    span = _RATE_OVER if recent["placed"] < _MOST_RECENT else max(recent["span"], 0.001)
    unknown_alarm = f"orders that only partners know: {counts['unknown']}, see oms orders unknown"
    late = f"an order has been overdue for {overdue:.0f} s: is a consumer of the order service running?"
    return [
        Figure("orders placed", recent["placed"] / span, "/s"),
        Figure("orders settled", recent["settled"] / span, "/s"),
        Figure("settled in, p50", recent["p50"], "s"),
        Figure("settled in, p99", recent["p99"], "s"),
        Figure("orders under way", counts["under_way"]),
        Figure("most overdue", overdue, "s", late if overdue > _OVERDUE_ALARM else None),
        Figure(
            "orders stuck",
            counts["stuck"],
            alarm=f"stuck orders: {counts['stuck']}, see oms orders stuck" if counts["stuck"] else None,
        ),
        Figure("orders unknown", counts["unknown"], alarm=unknown_alarm if counts["unknown_today"] else None),
    ]
