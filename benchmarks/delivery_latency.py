"""From POST /orders to its event in the hands of a read_committed consumer, at half of what the process can take."""

import asyncio
import gc
import statistics
import time

from benchmarks.backlog import topic_reader
from benchmarks.database import until_drained
from benchmarks.environment import Environment
from benchmarks.paced_client import PacedClient
from benchmarks.processes import order_service, running
from benchmarks.table import Aim, Figure, Samples
from benchmarks.waiting import until
from benchmarks.wrk import load

_WARM_UP_SECONDS = 2
_ARRIVES_WITHIN = 30.0


async def measure(environment: Environment) -> list[Figure]:
    """One process takes orders and relays them. Its full rate comes from wrk, in this run."""
    await environment.create_topics()
    plan = environment.plan
    dsn = await environment.database.fresh("latency")
    p50: list[float] = []
    p99: list[float] = []
    async with running(order_service("api,relay", environment.settings(dsn))) as service:
        environment.say("latency: finding the full rate")
        await load(service.url, _WARM_UP_SECONDS)
        per_second = (await load(service.url, plan.seconds)).per_second / 2
        await until_drained(dsn)
        for number in range(plan.rounds):
            environment.say(f"latency: round {number + 1} of {plan.rounds}, {per_second:,.0f} orders/s")
            percentiles = statistics.quantiles(await _round(environment, service.port, per_second), n=100)
            p50.append(percentiles[49])
            p99.append(percentiles[98])
    name = f"POST to event, {per_second:,.0f} orders/s (half of the full rate)"
    return [
        Figure(f"{name}, p50", Samples(tuple(p50), " ms"), aims=(_at_most(15),)),
        Figure(f"{name}, p99", Samples(tuple(p99), " ms"), aims=(_at_most(60),)),
    ]


async def _round(environment: Environment, port: int, per_second: float) -> list[float]:
    """Milliseconds of each order, from when it was due to be sent; those of the first two seconds are left out."""
    seen: dict[str, float] = {}
    async with topic_reader(environment, "read_committed") as consumer:
        for partition in consumer.assignment():
            await consumer.position(partition)

        async def consume() -> None:
            while True:
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    now = time.perf_counter()
                    for record in records:
                        seen[record.key.decode()] = now

        consuming = asyncio.create_task(consume())
        gc.collect()
        gc.freeze()  # a pause of this process must not look like one of the order service
        client = await PacedClient.connected_to(port)
        try:
            due = await client.post_orders(per_second, _WARM_UP_SECONDS + environment.plan.seconds)

            async def all_seen() -> bool:
                return seen.keys() >= due.keys()

            await until(all_seen, "every order's event has come", within=_ARRIVES_WITHIN)
        finally:
            client.close()
            consuming.cancel()
    counts_from = min(due.values()) + _WARM_UP_SECONDS
    return [(seen[order] - at) * 1000 for order, at in due.items() if at >= counts_from]


def _at_most(milliseconds: float) -> Aim:
    return Aim(milliseconds, at_least=False, of_ratio=False, unit=" ms")
