"""A primary is lost under load, and its standby is promoted: what is lost, and how long it takes."""

import asyncio
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from messaging.runtime.migrations import migrate
from order_service.infrastructure.database import MIGRATIONS
from tests.campaigns.customers import Customers
from tests.real_parts.order_process import OrderProcess
from tests.real_parts.postgres_cluster import Node, dsn_of_all, postgres_cluster
from tests.real_parts.query import rows

_BEFORE, _AFTER = 300, 100
_BEHIND_SECONDS = 1.0
_ALONE_SECONDS = 3.0
_CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Scenario:
    """How the standby acknowledges, and what happens before the primary is lost."""

    name: str
    synchronous: bool
    behind: bool = False
    restarted_alone: bool = False
    barrier: bool = True


SCENARIOS = (
    Scenario("asynchronous", synchronous=False),
    Scenario("asynchronous, the standby one second behind", synchronous=False, behind=True),
    Scenario("synchronous", synchronous=True),
    Scenario(
        "synchronous without the barrier, the primary restarted while the standby was away",
        synchronous=True,
        restarted_alone=True,
        barrier=False,
    ),
    Scenario("synchronous, the same", synchronous=True, restarted_alone=True),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds, and orders. `published` are lost orders with an event that was published."""

    accepted: int
    lost: int
    published: int
    promotion: float
    first_after_promotion: float
    without_orders: float


async def promotion(scenario: Scenario) -> Outcome:
    """One round on servers of its own."""
    customers, stop = Customers(), asyncio.Event()
    with postgres_cluster() as (primary, standby), tempfile.TemporaryDirectory() as folder:
        await migrate(primary.dsn(), MIGRATIONS)
        if scenario.synchronous:
            primary.acknowledge_with_standby()
        with _service(Path(folder), dsn_of_all([primary, standby]), barrier=scenario.barrier) as service:
            ordering = asyncio.create_task(customers.order(service.url, stop))
            await customers.until_accepted(_BEFORE)
            await _before_the_loss(scenario, primary, standby)
            await asyncio.to_thread(primary.kill)
            killed = time.monotonic()
            if scenario.behind or scenario.restarted_alone:
                await asyncio.to_thread(standby.start)
            decided = time.monotonic()
            await asyncio.to_thread(standby.promote)
            promoted = time.monotonic()
            await customers.until_accepted(_AFTER)
            stop.set()
            await ordering
            published = _created_in(service.log)
        stored = await _stored(standby)
    first = customers.first_after(killed)
    return Outcome(
        accepted=len(customers.accepted),
        lost=len(set(customers.accepted) - stored),
        published=len(published - stored),
        promotion=promoted - decided,
        first_after_promotion=first - promoted,
        without_orders=first - decided,
    )


async def _before_the_loss(scenario: Scenario, primary: Node, standby: Node) -> None:
    if scenario.behind:
        await asyncio.to_thread(standby.stop)
        await asyncio.sleep(_BEHIND_SECONDS)
    if scenario.restarted_alone:
        await asyncio.to_thread(standby.stop)
        await asyncio.sleep(_BEHIND_SECONDS)
        await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(primary.start)
        await asyncio.sleep(_ALONE_SECONDS)


def _service(folder: Path, orders: str, *, barrier: bool) -> OrderProcess:
    # The process runs in another folder, and the tests are not installed.
    environment = {"EVENT_PUBLISHER": "logging", "ORDER_DATABASE_URL": orders, "PYTHONPATH": str(_CHECKOUT)}
    return OrderProcess(folder, environment, program="oms" if barrier else "tests.campaigns.without_barrier")


def _created_in(log: str) -> set[str]:
    lines = [json.loads(line) for line in log.splitlines() if '"OrderCreatedEvent"' in line]
    return {str(line["key"]) for line in lines if line["event"] == "OrderCreatedEvent"}


async def _stored(server: Node) -> set[str]:
    return {str(row["id"]) for row in await rows(server.dsn(), "select id from orders")}
