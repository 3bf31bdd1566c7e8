"""An upgrade without a stop: one process after the other becomes one of the other release, under load, and back again.

Halfway there, the order service is of one release and its partners are of the other. Every type of message is then
exchanged between them, once in each direction.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from contracts.releases import ROOT
from docs.generate_schemas import TOPICS
from tests.real_parts.kafka import Broker
from tests.real_parts.order_process import OrderProcess
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.releases import NoRelease, last_release, path_of
from tests.real_parts.steady_customers import Customers
from tests.real_parts.three_services import ThreeServices, three_services
from tests.real_parts.topic_reader import TopicReader, topic_reader

CUSTOMERS, PAUSE = 3, 0.5
ORDER = {"items": [{"productId": "p1", "quantity": 1}]}
STOPS_WITHIN = 60.0
SETTLES_WITHIN = 120.0
PARTNERS, ORDER_SERVICE = ("inventory", "payment"), ("order", "order 2")


class Rotation:
    """What a load balancer does: requests go to the instances in it, and one that is to stop is taken out first."""

    def __init__(self, urls: list[str]) -> None:
        self.urls = urls
        self.customers = Customers(lambda: self.urls, ORDER, at_once=CUSTOMERS, pause=PAUSE)

    @asynccontextmanager
    async def without(self, url: str) -> AsyncIterator[None]:
        """Take an instance out, and wait for the requests that it has."""
        served = url in self.urls
        if served:
            self.urls.remove(url)
        async with asyncio.timeout(SETTLES_WITHIN):
            while self.customers.in_flight[url]:
                await asyncio.sleep(0.01)
        yield
        if served:
            self.urls.append(url)


async def test_an_upgrade_and_the_way_back_fail_no_request_and_every_message_is_understood_both_ways(
    broker: Broker, postgres: PostgresServer, tmp_path: Path
) -> None:
    try:
        old, new = path_of(last_release(tmp_path)), path_of(ROOT)
    except NoRelease as missing:
        pytest.skip(str(missing))
    stop = asyncio.Event()
    async with three_services(broker, postgres, tmp_path, PYTHONPATH=old) as services:
        await asyncio.to_thread(services.start, "order", "order 2")
        rotation = Rotation([services.processes[instance].url for instance in ORDER_SERVICE])
        load = asyncio.create_task(rotation.customers.order_until(stop))
        try:
            placed = 0
            for release in (new, old):
                for instance in PARTNERS:
                    await _restart(services.processes[instance], release, rotation)
                placed += await _exchange_every_message(services, rotation)
                for instance in ORDER_SERVICE:
                    await _restart(services.processes[instance], release, rotation)
        finally:
            stop.set()
            await load
        statuses = await services.until_settled(len(rotation.customers.orders) + placed, SETTLES_WITHIN)
        (await services.audit()).assert_sums_agree()

    assert rotation.customers.failed == []
    assert statuses["CONFIRMED"] == len(rotation.customers.orders), f"the customers' orders are {dict(statuses)}"


async def _restart(process: OrderProcess, release: str, rotation: Rotation) -> None:
    """As an orchestrator does it: out of the rotation, SIGTERM, the other release, and back when it is ready."""
    async with rotation.without(process.url):
        process.send(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, STOPS_WITHIN) == 0, process.log[-3000:]
        process.environment = process.environment | {"PYTHONPATH": release}
        await asyncio.to_thread(process.start)
        async with httpx.AsyncClient(base_url=process.url) as client, asyncio.timeout(SETTLES_WITHIN):
            while (await client.get("/health/ready")).status_code != 200:
                await asyncio.sleep(0.1)


async def _exchange_every_message(services: ThreeServices, rotation: Rotation) -> int:
    """Four orders whose messages are of every type that there is; answers their number."""
    assert services.kafka is not None
    prefix, bootstrap_servers = services.kafka.prefix, services.kafka.bootstrap_servers
    async with AsyncExitStack() as stack:
        readers = {
            topic: await stack.enter_async_context(topic_reader(bootstrap_servers, prefix + topic)) for topic in TOPICS
        }
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=rotation.urls[0], timeout=SETTLES_WITHIN))
        orders = [
            await _settled(client, product, then)
            for product, then in (("p1", "complete"), ("p2", "cancel"), ("nowhere", None), ("dear", None))
        ]
        for topic, shapes in TOPICS.items():
            await _until_exchanged(readers[topic], orders, {kind for kind, _ in shapes})
    return len(orders)


async def _until_exchanged(reader: TopicReader, orders: Collection[str], types: Collection[str]) -> None:
    def come() -> bool:
        return {value["eventType"] for value in reader.values if value["orderId"] in orders} >= set(types)

    await reader.read_until(come, f"{', '.join(types)} of {len(orders)} orders", SETTLES_WITHIN)


async def _settled(client: httpx.AsyncClient, product: str, then: str | None) -> str:
    """An order that is settled, and then completed or cancelled."""
    placed = await client.post("/orders", json={"items": [{"productId": product, "quantity": 1}]})
    order_id = str(placed.json()["orderId"])
    status = await _status(client, order_id)
    assert status == ("REJECTED" if then is None else "CONFIRMED"), f"the order of {product} is {status}"
    if then is not None:
        (await client.post(f"/orders/{order_id}/{then}")).raise_for_status()
        assert await _status(client, order_id) == {"complete": "COMPLETED", "cancel": "CANCELLED"}[then]
    return order_id


async def _status(client: httpx.AsyncClient, order_id: str) -> str:
    """The status of an order when it is settled."""
    until, status = asyncio.get_running_loop().time() + SETTLES_WITHIN, ""
    while status in ("", "PENDING", "CANCELLING"):
        assert asyncio.get_running_loop().time() < until, f"after {SETTLES_WITHIN:.0f} s the order is still {status}"
        answer = await client.get(f"/orders/{order_id}", headers={"Prefer": "wait=20"})
        status = answer.json()["status"]
    return status
