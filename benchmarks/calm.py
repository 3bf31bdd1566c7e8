"""The time of one order where there is time: twenty orders a second, over Kafka and in one process."""

import statistics
import time
from collections import defaultdict

from benchmarks.database import connected
from benchmarks.delivery_latency import at_most
from benchmarks.environment import Environment
from benchmarks.installation import Installation, one_process, three_services
from benchmarks.order_client import Dialect, OrderClient
from benchmarks.plan import in_turns
from benchmarks.table import Figure, Samples
from benchmarks.waiting import until

_RATE = 20
_WARM_UP_SECONDS = 2
_SETTLES_WITHIN = 60.0
_AIMS = {"three services": 30, "`oms up`": 8}

_DECIDED_AT = """
    select id::text, extract(epoch from updated_at)::float8 as at from orders
    where status = 'CONFIRMED' and id = any($1::uuid[])
"""


async def measure(environment: Environment) -> list[Figure]:
    """Three services over Kafka and `oms up`, in turns."""
    medians: dict[str, list[float]] = defaultdict(list)
    parties = {"three services": three_services, "`oms up`": one_process}
    rounds = environment.plan.rounds
    for number, party in in_turns(list(parties), rounds):
        environment.say(f"calm: round {number} of {rounds}, {party}")
        async with parties[party](environment) as installation:
            medians[party].append(statistics.median(await decided(installation, _RATE, environment.plan.short_seconds)))
    return [
        Figure(
            f"POST to CONFIRMED, {_RATE} orders/s, {party}, p50",
            Samples(tuple(medians[party]), " ms"),
            aims=(at_most(aim),),
        )
        for party, aim in _AIMS.items()
    ]


async def decided(
    installation: Installation, per_second: float, seconds: float, dialect: Dialect | None = None
) -> list[float]:
    """Milliseconds from when each order was due to be sent until the decision that it is confirmed, by this machine's
    clock. The order is CONFIRMED one commit later. Orders of the first two seconds are left out."""
    wall_clock = time.time() - time.perf_counter()
    client = await OrderClient.connected_to(installation.api.port, dialect)
    try:
        due = await client.post_orders(per_second, _WARM_UP_SECONDS + seconds)
    finally:
        client.close()
    async with connected(installation.order_dsn) as connection:

        async def settled() -> bool:
            return len(await connection.fetch(_DECIDED_AT, list(due))) == len(due)

        await until(settled, "every order is confirmed", within=_SETTLES_WITHIN)
        at = {row["id"]: row["at"] - wall_clock for row in await connection.fetch(_DECIDED_AT, list(due))}
    counts_from = min(due.values()) + _WARM_UP_SECONDS
    return [(at[order_id] - when) * 1000 for order_id, when in due.items() if when >= counts_from]
