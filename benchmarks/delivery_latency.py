"""From POST /orders to an event in the hands of a read_committed consumer, at a steady rate of orders."""

import asyncio
import gc
import statistics
import time
from dataclasses import dataclass

from benchmarks.backlog import topic_reader
from benchmarks.database import until_drained
from benchmarks.environment import Environment
from benchmarks.order_client import OrderClient
from benchmarks.processes import order_service, running
from benchmarks.table import Aim, Figure, Samples
from benchmarks.waiting import until
from benchmarks.wrk import load
from messaging.kafka.settings import KafkaSettings

_WARM_UP_SECONDS = 2
_ARRIVES_WITHIN = 30.0


async def measure(environment: Environment) -> list[Figure]:
    """One process takes orders and relays them, at half of what it can take. Its full rate comes from wrk, in this
    run."""
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
            deliveries = await post_and_see(
                environment.kafka(), service.port, "OrderCreatedEvent", per_second, plan.seconds
            )
            percentiles = statistics.quantiles([delivery.milliseconds for delivery in deliveries], n=100)
            p50.append(percentiles[49])
            p99.append(percentiles[98])
    name = f"POST to event, {per_second:,.0f} orders/s (half of the full rate)"
    return [
        Figure(f"{name}, p50", Samples(tuple(p50), " ms"), aims=(at_most(15),)),
        Figure(f"{name}, p99", Samples(tuple(p99), " ms"), aims=(at_most(60),)),
    ]


@dataclass(frozen=True, slots=True)
class Delivery:
    """When an order was due to be sent, and when its event was seen, both of `time.perf_counter`."""

    order_id: str
    due: float
    seen: float

    @property
    def milliseconds(self) -> float:
        """From the one to the other."""
        return (self.seen - self.due) * 1000


async def post_and_see(
    kafka: KafkaSettings, port: int, event_type: str, per_second: float, seconds: float
) -> list[Delivery]:
    """Post orders and consume their events of this type; those of the first two seconds are left out."""
    seen: dict[str, float] = {}
    wanted = ("ce_type", event_type.encode())
    async with topic_reader(kafka, "read_committed") as consumer:
        for partition in consumer.assignment():
            await consumer.position(partition)

        async def consume() -> None:
            while True:
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    now = time.perf_counter()
                    for record in records:
                        if wanted in record.headers:
                            seen[record.key.decode()] = now

        consuming = asyncio.create_task(consume())
        gc.collect()
        gc.freeze()  # a pause of this process must not look like one of the services
        client = await OrderClient.connected_to(port)
        try:
            due = await client.post_orders(per_second, _WARM_UP_SECONDS + seconds)

            async def all_seen() -> bool:
                return seen.keys() >= due.keys()

            await until(all_seen, f"the {event_type} of every order has come", within=_ARRIVES_WITHIN)
        finally:
            gc.unfreeze()
            client.close()
            consuming.cancel()
    counts_from = min(due.values()) + _WARM_UP_SECONDS
    return [Delivery(order_id, at, seen[order_id]) for order_id, at in due.items() if at >= counts_from]


def at_most(milliseconds: float) -> Aim:
    """An upper limit of the figure itself."""
    return Aim(milliseconds, at_least=False, of_ratio=False, unit=" ms")
