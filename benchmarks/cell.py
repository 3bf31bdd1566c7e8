"""A whole cell on one core: `python -m benchmarks.cell CORE SECONDS`. Its PostgreSQL, its broker, its services and its
client are started by this process, and so share that core. For each line of its input it loads them, counts the orders
that become CONFIRMED, and answers with a line: how many a second."""

import asyncio
import os
import sys
from typing import Any

import uvloop

from benchmarks.database import connected, database_server
from benchmarks.environment import Environment
from benchmarks.installation import Installation, three_services
from benchmarks.order_client import OrderClient
from benchmarks.plan import FULL
from benchmarks.waiting import until
from tests.real_parts.kafka import kafka_broker

READY = "ready"
_WARM_UP_SECONDS = 3
_UNDER_WAY = 1000
_SETTLES_WITHIN = 60.0

_PENDING = "select count(*) from orders where status = 'PENDING'"
_CONFIRMED = """
    select count(*), extract(epoch from statement_timestamp())::float8 from orders where status = 'CONFIRMED'
"""


def main(core: int, seconds: float) -> None:
    """Serve until the input ends."""
    os.sched_setaffinity(0, {core})
    for shared in ("KAFKA_BOOTSTRAP_SERVERS", "BENCH_DATABASE_URL"):
        os.environ.pop(shared, None)
    with kafka_broker() as broker:
        uvloop.run(_serve(broker.bootstrap_servers, seconds))


async def _serve(bootstrap_servers: str, seconds: float) -> None:
    async with database_server() as database:
        environment = Environment(FULL, database, bootstrap_servers, lambda _: None)
        async with three_services(environment) as installation, connected(installation.order_dsn) as connection:
            print(READY, flush=True)
            while await asyncio.to_thread(sys.stdin.readline):
                print(await _turn(installation, connection, seconds), flush=True)


async def _turn(installation: Installation, connection: Any, seconds: float) -> float:
    async def pending() -> int:
        return int(await connection.fetchval(_PENDING))

    async def settled() -> bool:
        return not await pending()

    client = await OrderClient.connected_to(installation.api.port)
    stop = asyncio.Event()
    try:
        async with connected(installation.order_dsn) as counting:
            loading = asyncio.create_task(client.keep_on_their_way(_UNDER_WAY, pending, stop))
            await asyncio.wait({loading}, timeout=_WARM_UP_SECONDS)
            before, began = await counting.fetchrow(_CONFIRMED)
            await asyncio.wait({loading}, timeout=seconds)
            after, ended = await counting.fetchrow(_CONFIRMED)
            stop.set()
            await loading
        await until(settled, "every order is settled", within=_SETTLES_WITHIN)
    finally:
        client.close()
    return float((after - before) / (ended - began))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
