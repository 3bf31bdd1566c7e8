"""How soon everything is settled after kill -9 of every process and a restart."""

import asyncio
import os
import signal
import statistics
import time
from tempfile import TemporaryDirectory

from benchmarks.database import connected
from benchmarks.environment import Environment
from benchmarks.gateway import Gateway, gateway
from benchmarks.installation import Planned, confirm_one_order, plan_one_process, plan_three_services, started
from benchmarks.order_client import OrderClient
from benchmarks.table import Aim, Figure, Samples
from benchmarks.waiting import until

UNDER_WAY = 300
_LOAD_SECONDS = 3.0
_BETWEEN = 0.3
_SETTLES_WITHIN = 120.0
_AIM = Aim(4, at_least=False, of_ratio=False, unit=" s")

_PENDING = "select count(*) from orders where status = 'PENDING'"
_UNSETTLED = "select count(*) from orders where status in ('PENDING', 'CANCELLING')"
_NOT_CONFIRMED = "select status, reason from orders where status <> 'CONFIRMED' limit 1"


async def measure(environment: Environment) -> list[Figure]:
    """`oms up`, and three services over Kafka, in turns."""
    alone: list[float] = []
    apart: list[float] = []
    rounds = environment.plan.recoveries
    async with gateway() as payments:
        for number in range(rounds):
            environment.say(f"recovery: round {number + 1} of {rounds}, one process")
            with TemporaryDirectory() as folder:
                more = {"DATA_DIR": folder, "PAYMENT_GATEWAY": payments.url}
                alone.append(await _recovery(await plan_one_process(environment, more), payments))
            environment.say(f"recovery: round {number + 1} of {rounds}, three processes")
            with TemporaryDirectory() as folder:
                more = {"DATA_DIR": folder, "PAYMENT_GATEWAY": payments.url, "KAFKA_GROUP_INSTANCE_ID": "bench"}
                apart.append(await _recovery(await plan_three_services(environment, more=more), payments))
    return [*_figures("`oms up`", alone), *_figures("three services", apart)]


async def _recovery(planned: Planned, payments: Gateway) -> float:
    """Seconds from the restart until no order is unsettled. Raises RuntimeError when an order is not confirmed, or when
    the gateway was called twice at a time."""
    async with connected(planned.order_dsn) as connection:

        async def pending() -> int:
            return int(await connection.fetchval(_PENDING))

        async def settled() -> bool:
            return not await connection.fetchval(_UNSETTLED)

        async with started(planned) as installation:
            await confirm_one_order(installation)
            client = await OrderClient.connected_to(installation.api.port)
            loading = asyncio.create_task(client.keep_on_their_way(UNDER_WAY, pending, asyncio.Event()))
            await asyncio.wait({loading}, timeout=_LOAD_SECONDS)
            loading.cancel()
            for process in installation.processes.values():
                os.kill(process.pid, signal.SIGKILL)
            client.close()
            await asyncio.wait({loading})
            if not loading.cancelled():
                loading.result()
        await asyncio.sleep(_BETWEEN)
        began = time.perf_counter()
        async with started(planned):
            await until(settled, "every order is settled", within=_SETTLES_WITHIN, every=0.05)
            took = time.perf_counter() - began
        if row := await connection.fetchrow(_NOT_CONFIRMED):
            raise RuntimeError(f"an order was {row['status']}: {row['reason']}")
    if payments.doubled:
        raise RuntimeError(f"the gateway was called twice at a time: {sorted(payments.doubled)[:3]}")
    return took


def _figures(name: str, seconds: list[float]) -> list[Figure]:
    name = f"kill -9 with {UNDER_WAY} orders under way, {name}: from the restart until all are settled"
    p99 = statistics.quantiles(seconds, n=100, method="inclusive")[98]
    return [
        Figure(f"{name}, p50", Samples(tuple(seconds), " s"), aims=(_AIM,)),
        Figure("… p99", Samples((p99,), " s"), aims=(_AIM,)),
    ]
