"""Two instances of each service, with rebalances in between; and afterwards every message once more from offset 0."""

import asyncio
import random
import signal
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from messaging.kafka.settings import KafkaSettings
from oms.services import SERVICES
from tests.bad_days.fulfilment_load import Customers
from tests.real_parts.kafka import Broker
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.three_services import ThreeServices, three_services

ORDERS = 300
CONSUMED = {
    "order": ("inventory-events", "payment-events"),
    "inventory": ("inventory-commands",),
    "payment": ("payment-commands",),
}


async def test_two_instances_share_the_work_and_a_replay_from_the_beginning_changes_nothing(
    broker: Broker, postgres: PostgresServer, tmp_path: Path
) -> None:
    rng = random.Random(7)
    async with three_services(broker, postgres, tmp_path) as services:
        customers = Customers(lambda: services.url("order"), rng)
        placing = asyncio.create_task(customers.place(ORDERS))
        for name in SERVICES:  # each start is a rebalance, and so is each end
            await asyncio.to_thread(services.start, name, f"{name} 2")
        await placing
        for name in SERVICES:
            await _stop(services, f"{name} 2")
        statuses = await services.until_settled(ORDERS)
        before = await services.audit()
        before.assert_sums_agree()

        for name in SERVICES:
            await _stop(services, name)
        assert services.kafka is not None
        replayed = [await _rewind(services.kafka, name) for name in SERVICES]
        await asyncio.gather(*(asyncio.to_thread(services.start, name) for name in SERVICES))
        await asyncio.gather(*(_until_read(services.kafka, name) for name in SERVICES))
        after = await services.audit()

    assert {str(row["id"]) for row in before.orders} == set(customers.accepted)
    assert set(statuses) >= {"CONFIRMED", "REJECTED", "CANCELLED"}, f"the test saw too little: {dict(statuses)}"
    assert min(replayed) >= ORDERS / 2
    assert after == before


async def _stop(services: ThreeServices, instance: str) -> None:
    """As an orchestrator does: it leaves its consumer group, and the partitions move at once."""
    services.processes[instance].send(signal.SIGTERM)
    assert await asyncio.to_thread(services.processes[instance].wait, 20) == 0


async def _rewind(kafka: KafkaSettings, service: str) -> int:
    """Have the service's group begin with the first record of each partition; answers how many records that are."""
    async with _group(kafka, service) as (consumer, partitions):
        beginnings, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        await consumer.commit(beginnings)
        return sum(ends[partition] - beginnings[partition] for partition in partitions)


async def _until_read(kafka: KafkaSettings, service: str, within: float = 60.0) -> None:
    async with _group(kafka, service) as (consumer, partitions):
        ends = await consumer.end_offsets(partitions)
        read = dict.fromkeys(partitions, 0)
        try:
            async with asyncio.timeout(within):
                # What is committed lies behind the last record; only markers of transactions may follow it.
                while any(ends[partition] - read[partition] > 1 for partition in partitions):
                    read = {partition: await consumer.committed(partition) or 0 for partition in partitions}
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{service} read up to {read} of {ends} within {within:.0f} s") from None


class _group:  # noqa: N801  used as a context manager
    """A member of nobody's that sees and sets the offsets of a service's group."""

    def __init__(self, kafka: KafkaSettings, service: str) -> None:
        self._partitions = [TopicPartition(kafka.prefix + topic, n) for topic in CONSUMED[service] for n in range(4)]
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka.bootstrap_servers,
            group_id=f"{kafka.prefix}{service}-service",
            enable_auto_commit=False,
        )

    async def __aenter__(self) -> tuple[AIOKafkaConsumer, list[TopicPartition]]:
        await self._consumer.start()
        self._consumer.assign(self._partitions)
        return self._consumer, self._partitions

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()
