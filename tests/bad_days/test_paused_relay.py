"""A relay hangs (SIGSTOP) until another has taken over, and then goes on as if nothing had been: it must do no harm."""

import asyncio
import os
import random
import signal

from tests.real_parts.kafka import Broker
from tests.real_parts.order_writer import order_writer
from tests.real_parts.relay_process import start_relay
from tests.real_parts.topic_reader import topic_reader

PAUSES = 6


async def test_a_relay_that_comes_back_from_a_pause_publishes_nothing_twice_and_nothing_out_of_order(
    broker: Broker, database: str
) -> None:
    async with topic_reader(broker.bootstrap_servers) as topic, order_writer(database) as writer:
        stop = asyncio.Event()
        writing = [asyncio.create_task(writer.write(stop, pause=0.01)) for _ in range(8)]
        relays = [start_relay(database, broker.bootstrap_servers, idle_timeout=2.0) for _ in "ab"]
        try:
            await topic.read_orders([await writer.write_one()])
            for number in range(PAUSES):
                await asyncio.sleep(random.uniform(0.0, 0.5))
                zombie = relays[number % 2]
                assert zombie.pid is not None
                os.kill(zombie.pid, signal.SIGSTOP)
                # Orders of every shard, placed while it hangs, come out: the other one has taken all shards over.
                await topic.read_orders([await writer.write_one() for _ in range(20)])
                os.kill(zombie.pid, signal.SIGCONT)
                await topic.read_orders([await writer.write_one()])
            stop.set()
            await asyncio.gather(*writing)
            await topic.read_events(2 * len(writer.order_ids))
        finally:
            for relay in relays:
                relay.kill()

    topic.assert_each_once_in_order(writer.order_ids)
    assert len(topic.records) == 2 * len(writer.order_ids)
