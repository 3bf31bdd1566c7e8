"""kill -9 of any service at any step, again and again: every order settles, and the sums of stock and money agree."""

import asyncio
import random
from pathlib import Path

from oms.services import SERVICES
from tests.bad_days.fulfilment_load import Customers
from tests.real_parts.kafka import Broker
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.three_services import ThreeServices, three_services

ORDERS = 500
KILLS = 8


async def test_every_order_settles_and_the_sums_agree_when_services_are_killed_at_random(
    broker: Broker, postgres: PostgresServer, tmp_path: Path
) -> None:
    rng = random.Random(4)
    # What a killed service has left is taken up by the next one: no lease and no session ends within the run.
    async with three_services(
        broker,
        postgres,
        tmp_path,
        STEP_TIMEOUT_SECONDS="60",
        PAYMENT_RECOVERY_SECONDS="3600",
        KAFKA_GROUP_INSTANCE_ID="the-only-one",
        KAFKA_SESSION_TIMEOUT_SECONDS="300",
    ) as services:
        customers = Customers(lambda: services.url("order"), rng)
        placing = asyncio.create_task(customers.place(ORDERS))
        await _kill_at_random(services, rng)
        await placing
        statuses = await services.until_settled(ORDERS, within=240)
        audit = await services.audit()

    audit.assert_sums_agree()
    assert {str(row["id"]) for row in audit.orders} == set(customers.accepted)
    assert set(statuses) >= {"CONFIRMED", "REJECTED"}, f"the test saw too little: {dict(statuses)}"


async def _kill_at_random(services: ThreeServices, rng: random.Random) -> None:
    for _ in range(KILLS):
        await asyncio.sleep(rng.uniform(0.1, 1.0))  # the moment of the kill is the scenario
        victim = rng.choice(list(SERVICES))
        services.kill(victim)
        await asyncio.to_thread(services.start, victim)
