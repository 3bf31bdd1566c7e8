"""A relay alone in its process, started in a few milliseconds (forked from a process that has everything loaded), so
that it can be killed a hundred times in a test. It is the production relay, wired as `order_service.bootstrap` wires
it."""

import asyncio
import multiprocessing
import os
import random
import signal
from functools import partial
from multiprocessing.process import BaseProcess

from messaging.engine.relay import Relay
from messaging.kafka.publisher import kafka_publishers
from messaging.kafka.settings import KafkaSettings
from messaging.ports.event_publisher import BATCH, EventPublisher, publish_oldest
from messaging.ports.outbox import OwnedShard
from messaging.postgres.outbox import PostgresOutbox

_forkserver = multiprocessing.get_context("forkserver")
_forkserver.set_forkserver_preload(["tests.real_parts.relay_process"])


async def publish_and_sometimes_die(chance: float, shard: OwnedShard, publisher: EventPublisher) -> int:
    """As `publish_oldest`, but now and then the process is killed after publishing and before deleting."""
    batch = await shard.oldest(BATCH)
    if batch:
        await publisher.publish(batch)
        if random.random() < chance:
            os.kill(os.getpid(), signal.SIGKILL)
        await shard.delete(batch)
    return len(batch)


def _run(dsn: str, bootstrap_servers: str, idle_timeout: float, chance: float) -> None:
    async def main() -> None:
        outbox = PostgresOutbox(dsn, idle_timeout=idle_timeout)
        open_publisher = kafka_publishers(KafkaSettings(bootstrap_servers=bootstrap_servers), "order")
        publish = partial(publish_and_sometimes_die, chance) if chance else publish_oldest
        await Relay("order", outbox, open_publisher, publish).run()

    asyncio.run(main())


def start_relay(
    dsn: str, bootstrap_servers: str, *, idle_timeout: float = 10.0, chance_to_die_after_publishing: float = 0.0
) -> BaseProcess:
    """A running relay; `kill()` it."""
    relay = _forkserver.Process(
        target=_run, args=(dsn, bootstrap_servers, idle_timeout, chance_to_die_after_publishing), daemon=True
    )
    relay.start()
    return relay
