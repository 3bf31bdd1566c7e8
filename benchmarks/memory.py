"""Does the api process grow with the orders it has taken?"""

import psutil

from benchmarks.environment import Environment
from benchmarks.processes import order_service, running
from benchmarks.table import Aim, Figure, Samples
from benchmarks.wrk import load

_TURN_SECONDS = 1


async def measure(environment: Environment) -> list[Figure]:
    """Resident memory of one process after few orders and after many."""
    plan = environment.plan
    dsn = await environment.database.fresh("memory")
    async with running(order_service("api", environment.settings(dsn))) as service:
        process = psutil.Process(service.pid)
        orders = 0
        resident: list[float] = []
        for wanted in (plan.orders_before, plan.orders_after):
            while orders < wanted:
                environment.say(f"memory: {orders:,} of {plan.orders_after:,} orders")
                orders += (await load(service.url, _TURN_SECONDS)).requests
            resident.append(process.memory_info().rss / 2**20)
    before, after = resident
    return [
        Figure(
            f"resident memory of the api after {plan.orders_after:,} orders",
            Samples((after,), " MiB"),
            Samples((before,), " MiB"),
            f"after {plan.orders_before:,}:",
            (Aim(1.1, at_least=False),),
        )
    ]
