"""The brokers: leaders, coordinators and controllers killed, and too few of them to acknowledge anything.

Each of these faults waits first until the brokers are whole again. Two brokers lost for good is more than they promise.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeAlias

from chaos.faults.fault import Fault, paused
from chaos.installation import Installation
from messaging.ports.outbox import SHARDS
from messaging.ports.subscription import group_of
from oms.services import SERVICES, TOPICS
from tests.real_parts.kafka_node import KafkaNode

_WHOLE_WITHIN = 120.0
_Find: TypeAlias = Callable[[Installation, Random], Awaitable[tuple[KafkaNode, str]]]
"""A broker, and what makes it the one."""


def _killed(find: _Find) -> Fault:
    """kill -9 of the broker that is found, and a restart."""

    async def inject(installation: Installation, rng: Random) -> str:
        await installation.brokers.until_whole(_WHOLE_WITHIN)
        node, what = await find(installation, rng)
        await asyncio.to_thread(node.kill)
        await asyncio.sleep(rng.uniform(0.5, 6))
        node.launch()
        return f"broker {node.number}, {what}, killed"

    return inject


async def _leader(installation: Installation, rng: Random) -> tuple[KafkaNode, str]:
    topic = rng.choice(TOPICS)
    partition = rng.randrange(topic.partitions)
    node = await installation.brokers.leader_of(installation.kafka.prefix + topic.name, partition)
    return node, f"the leader of {topic.name}-{partition}"


async def _transaction_coordinator(installation: Installation, rng: Random) -> tuple[KafkaNode, str]:
    relay = f"{installation.kafka.prefix}oms-outbox-{rng.choice(list(SERVICES))}-{rng.randrange(SHARDS)}"
    return await installation.brokers.coordinator_of(relay), f"the coordinator of {relay}"


async def _group_coordinator(installation: Installation, rng: Random) -> tuple[KafkaNode, str]:
    group = installation.kafka.prefix + group_of(rng.choice(list(SERVICES)))
    return await installation.brokers.coordinator_of_group(group), f"the coordinator of {group}"


async def _controller(installation: Installation, _: Random) -> tuple[KafkaNode, str]:
    return await installation.brokers.controller(), "the active controller"


leader_killed = _killed(_leader)
transaction_coordinator_killed = _killed(_transaction_coordinator)
group_coordinator_killed = _killed(_group_coordinator)
controller_killed = _killed(_controller)


def _stopped(number: int, least: float) -> Fault:
    """So many brokers stop, for this time or up to ten seconds. Without two of three, nothing can be acknowledged."""

    async def inject(installation: Installation, rng: Random) -> str:
        await installation.brokers.until_whole(_WHOLE_WITHIN)
        victims, seconds = rng.sample(list(installation.brokers.nodes.values()), number), rng.uniform(least, 10)
        async with paused(victims, seconds):
            return f"brokers {' and '.join(str(node.number) for node in victims)} stopped for {seconds:.1f} s"

    return inject


isr_too_small = _stopped(2, least=4)
away = _stopped(3, least=3)
