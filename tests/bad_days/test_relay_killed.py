"""Relays die at any moment, also between Kafka's commit and the delete: each event is on the topic once, in order."""

import asyncio
import random

from tests.real_parts.kafka import Broker
from tests.real_parts.order_writer import order_writer
from tests.real_parts.relay_process import start_relay
from tests.real_parts.topic_reader import topic_reader

KILLS = 100
DEATHS_AFTER_PUBLISHING = 10  # in the window between publishing and deleting
SHORT_LIFE = 0.6


async def test_two_relays_killed_a_hundred_times_publish_every_event_once_and_in_order(
    broker: Broker, database: str
) -> None:
    async with topic_reader(broker.bootstrap_servers) as topic, order_writer(database) as writer:
        stop = asyncio.Event()
        writing = [asyncio.create_task(writer.write(stop, pause=0.02)) for _ in range(8)]

        relays = [start_relay(database, broker.bootstrap_servers, chance_to_die_after_publishing=0.2) for _ in "ab"]
        killed = died_after_publishing = 0
        lives = SHORT_LIFE
        while killed + died_after_publishing < KILLS or died_after_publishing < DEATHS_AFTER_PUBLISHING:
            await asyncio.sleep(random.uniform(0.05, lives))
            for place, process in enumerate(relays):
                if not process.is_alive():
                    died_after_publishing += 1
                    lives = max(lives / 1.2, SHORT_LIFE)
                elif random.random() < 0.3:
                    process.kill()
                    killed += 1
                    lives *= 1.05  # on a slow machine it takes longer until a relay publishes at all
                else:
                    continue
                process.join()
                relays[place] = start_relay(
                    database, broker.bootstrap_servers, chance_to_die_after_publishing=random.choice((0.0, 0.5, 1.0))
                )
        stop.set()
        await asyncio.gather(*writing)
        for process in relays:
            process.kill()
            process.join()
        survivor = start_relay(database, broker.bootstrap_servers)
        try:
            await topic.read_events(2 * len(writer.order_ids))
        finally:
            survivor.kill()

    topic.assert_each_once_in_order(writer.order_ids)
    assert len(topic.records) == 2 * len(writer.order_ids)
