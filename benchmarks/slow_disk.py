"""Where a commit takes 2 ms: the rate of the whole system, and the time of one order, beside those of this disk."""

import statistics
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from benchmarks.calm import decided
from benchmarks.database import connected
from benchmarks.environment import Environment
from benchmarks.fulfilment import sustained
from benchmarks.installation import Installation, plan_three_services, running_installation
from benchmarks.plan import in_turns
from benchmarks.table import Aim, Figure, Samples

_SLOW = "2 ms"
_RATE = 50


async def measure(environment: Environment) -> list[Figure]:
    """Three services on one server, in turns with commits that wait for 2 ms before each flush of its log."""
    rates: dict[str, list[float]] = defaultdict(list)
    latencies: dict[str, list[float]] = defaultdict(list)
    plan = environment.plan
    for number, disk in in_turns((_SLOW, "this disk"), plan.rounds):
        environment.say(f"slow disk: round {number} of {plan.rounds}, {disk}")
        async with _three_services(environment, disk) as installation:
            times = await decided(installation, _RATE, plan.short_seconds)
        latencies[disk].append(statistics.median(times))
        turn = await sustained(environment, _three_services(environment, disk), seconds=plan.short_seconds)
        rates[disk].append(turn.per_second)
    return [
        Figure(
            f"POST to CONFIRMED, a commit takes {_SLOW}",
            Samples(tuple(rates[_SLOW]), "/s"),
            Samples(tuple(rates["this disk"]), "/s"),
            "this disk:",
            (Aim(0.95, at_least=True),),
        ),
        Figure(
            f"… {_RATE} orders/s, to the decision that it is confirmed, p50",
            Samples(tuple(latencies[_SLOW]), " ms"),
            Samples(tuple(latencies["this disk"]), " ms"),
            "this disk:",
        ),
    ]


@asynccontextmanager
async def _three_services(environment: Environment, disk: str) -> AsyncIterator[Installation]:
    planned = await plan_three_services(environment)
    if disk == _SLOW:
        async with connected(environment.database.dsn) as connection:
            for dsn in planned.databases.values():
                name = urlsplit(dsn).path.removeprefix("/")
                await connection.execute(f'alter database "{name}" set commit_delay = 2000')
                await connection.execute(f'alter database "{name}" set commit_siblings = 0')
    async with running_installation(planned) as installation:
        yield installation
