"""The brokers: leaders, coordinators and controllers killed, and too few of them to acknowledge anything.

Each of these faults waits first until the brokers are whole again. Two brokers lost for good is more than they promise.
"""

import asyncio
from collections.abc import Sequence
from random import Random

from chaos.installation import Installation
from messaging.ports.outbox import SHARDS
from oms.services import TOPICS
from tests.real_parts.kafka_node import KafkaNode

_WHOLE_WITHIN = 120.0


async def leader_killed(installation: Installation, rng: Random) -> str:
    """kill -9 of the leader of a partition, sometimes of its successor, too."""
    await installation.brokers.until_whole(_WHOLE_WITHIN)
    topic = rng.choice(TOPICS)
    partition, name = rng.randrange(topic.partitions), installation.kafka.prefix + topic.name
    node = await installation.brokers.leader_of(name, partition)
    await _kill(node, rng)
    return f"broker {node.number}, the leader of {topic.name}-{partition}, killed"


async def transaction_coordinator_killed(installation: Installation, rng: Random) -> str:
    """kill -9 of the broker that keeps a relay's transactions."""
    await installation.brokers.until_whole(_WHOLE_WITHIN)
    service = rng.choice(["order", "inventory", "payment"])
    relay = f"{installation.kafka.prefix}oms-outbox-{service}-{rng.randrange(SHARDS)}"
    node = await installation.brokers.coordinator_of(relay)
    await _kill(node, rng)
    return f"broker {node.number}, the coordinator of {relay}, killed"


async def group_coordinator_killed(installation: Installation, rng: Random) -> str:
    """kill -9 of the broker that keeps a group's offsets."""
    await installation.brokers.until_whole(_WHOLE_WITHIN)
    group = f"{installation.kafka.prefix}{rng.choice(['order', 'inventory', 'payment'])}-service"
    node = await installation.brokers.coordinator_of_group(group)
    await _kill(node, rng)
    return f"broker {node.number}, the coordinator of {group}, killed"


async def controller_killed(installation: Installation, rng: Random) -> str:
    """kill -9 of the leader of the controllers."""
    await installation.brokers.until_whole(_WHOLE_WITHIN)
    node = await installation.brokers.controller()
    await _kill(node, rng)
    return f"broker {node.number}, the active controller, killed"


async def isr_too_small(installation: Installation, rng: Random) -> str:
    """Two of three brokers stop: nothing can be acknowledged."""
    await installation.brokers.until_whole(_WHOLE_WITHIN)
    victims, seconds = rng.sample(list(installation.brokers.nodes.values()), 2), rng.uniform(4, 10)
    await _paused(victims, seconds)
    return f"brokers {' and '.join(str(node.number) for node in victims)} stopped for {seconds:.1f} s"


async def away(installation: Installation, rng: Random) -> str:
    """All brokers stop."""
    await installation.brokers.until_whole(_WHOLE_WITHIN)
    seconds = rng.uniform(3, 10)
    await _paused(list(installation.brokers.nodes.values()), seconds)
    return f"all brokers stopped for {seconds:.1f} s"


async def _kill(node: KafkaNode, rng: Random) -> None:
    await asyncio.to_thread(node.kill)
    await asyncio.sleep(rng.uniform(0.5, 6))
    node.launch()


async def _paused(nodes: Sequence[KafkaNode], seconds: float) -> None:
    for node in nodes:
        node.pause()
    try:
        await asyncio.sleep(seconds)
    finally:
        for node in nodes:
            node.resume()
