"""kill -9 of everything, the database too, in the middle of load: whatever was answered with 201 is still there."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import httpx

from tests.real_parts.kafka import Broker
from tests.real_parts.order_process import Load, OrderProcess
from tests.real_parts.topic_reader import topic_reader

ROUNDS = 3


def kill_postgres(data_dir: Path) -> None:
    """kill -9 of the embedded server's first process; its others follow it."""
    postmaster = int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    with suppress(ProcessLookupError):
        os.kill(postmaster, signal.SIGKILL)


async def test_every_order_answered_with_201_survives_kill_9_of_the_service_and_its_database(
    broker: Broker, tmp_path: Path
) -> None:
    environment = {"EVENT_PUBLISHER": "kafka", "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
    service, load = OrderProcess(tmp_path, environment), Load.nothing()
    async with topic_reader(broker.bootstrap_servers) as topic:
        for _ in range(ROUNDS):
            service.start()
            stop, before = asyncio.Event(), len(load.accepted)
            clients = asyncio.create_task(load.run(service.url, stop, clients=6))
            await load.until_accepted(before + 300)
            service.kill()
            kill_postgres(tmp_path / "data")
            stop.set()
            await clients
        with service:
            await topic.read_orders(load.accepted)
            async with httpx.AsyncClient(base_url=service.url) as client:
                for order_id in load.accepted[::10]:
                    answer = await client.get(f"/orders/{order_id}")
                    assert answer.status_code == 200, f"order {order_id} was accepted and is gone: {answer.text}"
            service.send(signal.SIGTERM)
            assert service.wait(10) == 0

    assert load.unexpected == []
    topic.assert_each_once_in_order(load.accepted)


async def test_without_a_broker_too_the_embedded_service_delivers_after_kill_9_what_it_had_accepted(
    tmp_path: Path,
) -> None:
    up, load = OrderProcess(tmp_path, {}, "up", "--events"), Load.nothing()
    up.start()
    stop = asyncio.Event()
    clients = asyncio.create_task(load.run(up.url, stop, clients=6))
    await load.until_accepted(300)
    up.kill()
    kill_postgres(tmp_path / "data")
    stop.set()
    await clients

    with up:
        delivered = await _wait_until_all_are_in(up, load.accepted)
    kill_postgres(tmp_path / "data")  # a process that is killed leaves it running
    assert delivered, "an accepted order's event was never delivered"


async def _wait_until_all_are_in(up: OrderProcess, order_ids: list[str]) -> bool:
    """True once every order's event was printed, which `oms up --events` does as it delivers."""
    try:
        async with asyncio.timeout(120):
            while not all(order_id in up.log for order_id in order_ids):
                await asyncio.sleep(0.1)
    except TimeoutError:
        return False
    return True
