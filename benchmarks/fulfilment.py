"""From POST /orders to CONFIRMED: orders a second that three services sustain, and how long one order takes."""

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from benchmarks.cpu import CpuMeter
from benchmarks.database import connected
from benchmarks.delivery_latency import at_most, post_and_see
from benchmarks.environment import Environment
from benchmarks.installation import APART, Installation, one_process, three_services
from benchmarks.order_client import OrderClient, our_dialect
from benchmarks.processes import order_service, running
from benchmarks.table import Aim, Figure, Samples
from benchmarks.waiting import until
from benchmarks.wrk import load

_WARM_UP_SECONDS = 5
_SETTLES_WITHIN = 60.0
_CALM_RATE = 50

_PENDING = "select count(*) from orders where status = 'PENDING'"
_CONFIRMED = """
    select count(*), extract(epoch from statement_timestamp())::float8 from orders where status = 'CONFIRMED'
"""
_NOT_CONFIRMED = "select status, reason from orders where status <> 'CONFIRMED' limit 1"
_DECIDED_AT = "select id::text, extract(epoch from updated_at)::float8 as at from orders where status = 'CONFIRMED'"


@dataclass(frozen=True, slots=True)
class Sustained:
    """Orders that became CONFIRMED in a second, and the CPU time of one in milliseconds, by process."""

    per_second: float
    cpu_ms: dict[str, float]


async def measure(environment: Environment) -> list[Figure]:
    """The order service in one process, in three, and its POST alone, in turns."""
    together: list[Sustained] = []
    apart: list[Sustained] = []
    posts: list[float] = []
    rounds = environment.plan.rounds
    for number in range(rounds):
        environment.say(f"fulfilment: round {number + 1} of {rounds}, POST alone")
        posts.append(await _posts(environment))
        environment.say(f"fulfilment: round {number + 1} of {rounds}, three processes")
        together.append(await sustained(environment, three_services(environment)))
        environment.say(f"fulfilment: round {number + 1} of {rounds}, five processes")
        apart.append(await sustained(environment, three_services(environment, APART)))
    baseline = Samples(tuple(posts), "/s")
    aim = Aim(2000, at_least=True, of_ratio=False, unit="/s")
    return [
        Figure("POST to CONFIRMED, three services", _rate(together), baseline, "POST alone:", (aim,)),
        *_cpu_figures(together),
        Figure("POST to CONFIRMED, the order service as three processes", _rate(apart), baseline, "POST alone:"),
        *_cpu_figures(apart),
    ]


async def measure_embedded(environment: Environment) -> list[Figure]:
    """`oms up`: the same orders, all in one process and without a broker."""
    rounds = []
    for number in range(environment.plan.rounds):
        environment.say(f"embedded: round {number + 1} of {environment.plan.rounds}")
        rounds.append(await sustained(environment, one_process(environment)))
    return [Figure("POST to CONFIRMED, `oms up`", _rate(rounds)), *_cpu_figures(rounds)]


async def measure_latency(environment: Environment) -> list[Figure]:
    """Three services at fifty orders a second, which is calm for them."""
    percentiles: dict[str, list[float]] = defaultdict(list)
    for number in range(environment.plan.rounds):
        environment.say(f"fulfilment latency: round {number + 1} of {environment.plan.rounds}")
        async with three_services(environment) as installation:
            wall_clock = time.time() - time.perf_counter()
            deliveries = await post_and_see(
                environment.kafka(installation.part),
                installation.api.port,
                "OrderConfirmedEvent",
                _CALM_RATE,
                environment.plan.sustained_seconds,
            )
            async with connected(installation.order_dsn) as connection:
                decided_at = {row["id"]: row["at"] for row in await connection.fetch(_DECIDED_AT)}
        seen = statistics.quantiles([delivery.milliseconds for delivery in deliveries], n=100)
        decided = [(decided_at[one.order_id] - one.due - wall_clock) * 1000 for one in deliveries]
        percentiles["p50"].append(seen[49])
        percentiles["p99"].append(seen[98])
        percentiles["decided"].append(statistics.median(decided))
    name = f"POST to OrderConfirmedEvent, {_CALM_RATE} orders/s"
    return [
        Figure(f"{name}, p50", Samples(tuple(percentiles["p50"]), " ms"), aims=(at_most(40),)),
        Figure(f"{name}, p99", Samples(tuple(percentiles["p99"]), " ms"), aims=(at_most(120),)),
        Figure("… to the decision that it is confirmed, p50", Samples(tuple(percentiles["decided"]), " ms")),
    ]


async def sustained(
    environment: Environment,
    start: AbstractAsyncContextManager[Installation],
    at_full_load: Callable[[Installation], None] = lambda _: None,
    *,
    seconds: int = 0,
    products: int = 1,
) -> Sustained:
    """Keep `plan.on_their_way` orders between POST and CONFIRMED, and count between two moments how many arrive. They
    are `seconds` apart, or as many as the plan says. Each order wants one of so many products.

    Raises RuntimeError when an order does not become CONFIRMED.
    """
    plan = environment.plan
    async with start as installation, connected(installation.order_dsn) as connection:
        meter = await CpuMeter.of(installation, environment.bootstrap_servers)
        client = await OrderClient.connected_to(installation.api.port, our_dialect(products))
        stop = asyncio.Event()
        try:
            loading = asyncio.create_task(_load(client, installation.order_dsn, plan.on_their_way, stop))
            await _for(_WARM_UP_SECONDS, loading)
            at_full_load(installation)
            cpu_before, (before, began) = meter.read(), await connection.fetchrow(_CONFIRMED)
            await _for(seconds or plan.sustained_seconds, loading)
            cpu_after, (after, ended) = meter.read(), await connection.fetchrow(_CONFIRMED)
            stop.set()
            await loading
            await _until_all_confirmed(connection)
        finally:
            stop.set()
            client.close()
    count = after - before
    cpu_ms = {name: (used - cpu_before[name]) * 1000 / count for name, used in cpu_after.items()}
    return Sustained(count / (ended - began), cpu_ms)


async def _load(client: OrderClient, dsn: str, on_their_way: int, stop: asyncio.Event) -> None:
    async with connected(dsn) as connection:

        async def pending() -> int:
            return int(await connection.fetchval(_PENDING))

        await client.keep_on_their_way(on_their_way, pending, stop)


async def _for(seconds: float, loading: asyncio.Task[None]) -> None:
    """Wait, and raise what ends the load early."""
    await asyncio.wait({loading}, timeout=seconds)
    if loading.done():
        loading.result()


async def _until_all_confirmed(connection: Any) -> None:
    async def settled() -> bool:
        return not await connection.fetchval(_PENDING)

    await until(settled, "every order is settled", within=_SETTLES_WITHIN)
    if row := await connection.fetchrow(_NOT_CONFIRMED):
        raise RuntimeError(f"an order was {row['status']}: {row['reason']}")


async def _posts(environment: Environment) -> float:
    """Orders a second that the order service takes when it does nothing else."""
    dsn = await environment.database.fresh("posts")
    async with running(order_service("api", environment.settings(dsn))) as service:
        await load(service.url, _WARM_UP_SECONDS)
        return (await load(service.url, environment.plan.seconds)).per_second


def _rate(rounds: list[Sustained]) -> Samples:
    return Samples(tuple(one.per_second for one in rounds), "/s")


def _cpu_figures(rounds: list[Sustained]) -> list[Figure]:
    def row(name: str, values: list[float], *aims: Aim) -> Figure:
        return Figure(f"… CPU an order, {name}", Samples(tuple(values), " ms"), aims=aims)

    whole = [sum(one.cpu_ms.values()) for one in rounds]
    parts = (row(name, [one.cpu_ms[name] for one in rounds]) for name in rounds[0].cpu_ms)
    return [row("all of it", whole, at_most(0.9)), *parts]
