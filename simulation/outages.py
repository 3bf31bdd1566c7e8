"""What happens to databases, brokers and the network of a history. `rng` says to which, and for how long."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final
from zlib import crc32

from simulation.installation import Installation
from simulation.kafka.leadership import NODES
from simulation.postgres.server import Server

NO_DAMAGE: Final = "no damage"
"""Returned by a fault that another one has done already, or that is not possible now."""

_ONE_ROW_IN: Final = 8


async def crash_database(installation: Installation, rng: Random) -> object:
    """A database server crashes, and comes back with what was committed."""
    server = installation.databases[rng.choice(sorted(installation.databases))].server
    if not server.is_up:
        return NO_DAMAGE
    server.crash()
    await asyncio.sleep(rng.uniform(0.1, 4.0))
    server.start()
    return None


async def lose_standby(installation: Installation, rng: Random) -> object:
    """The standby of a database is away, and commits wait for it until it is back."""
    return await _without_standby(installation, rng, Server.find_standby)


async def fail_over(installation: Installation, rng: Random) -> object:
    """The network between a primary and its standby breaks, and then the standby is promoted."""
    return await _without_standby(installation, rng, Server.fail_over)


async def _without_standby(installation: Installation, rng: Random, how_it_ends: Callable[[Server], None]) -> object:
    server = installation.databases[rng.choice(sorted(installation.databases))].server
    if not server.is_up or not server.has_standby:
        return NO_DAMAGE
    started = server.started
    server.lose_standby()
    await asyncio.sleep(rng.choice((1.0, 14.0)) * rng.random())
    if server.is_still(started):
        how_it_ends(server)
    return None


async def failing_rows(installation: Installation, rng: Random) -> None:
    """Messages about some orders fail for a while, at one service. Their keys are parked, and tried again."""
    database = installation.databases[rng.choice(sorted(installation.databases))]
    which = rng.randrange(_ONE_ROW_IN)
    database.fails = lambda row: crc32(str(row).encode()) % _ONE_ROW_IN == which
    await asyncio.sleep(rng.uniform(0.5, 10.0))
    database.fails = lambda _: False


async def crash_broker(installation: Installation, rng: Random) -> object:
    """A broker is away for a while. If that takes longer than an election, others lead what it led, and still do so
    for a while after it is back."""
    node, leadership = rng.choice(NODES), installation.cluster.leadership
    if node in leadership.away | leadership.passed_over:
        return NO_DAMAGE
    seconds, election, preferred = (rng.uniform(*bounds) for bounds in ((0.1, 8.0), (0.3, 3.0), (0.1, 5.0)))
    async with asyncio.TaskGroup() as group:
        group.create_task(installation.crash_broker(node, seconds))
        if seconds > election:
            await asyncio.sleep(election)
            await installation.move_leaders(node, seconds - election + preferred)
    return None


async def move_leaders(installation: Installation, rng: Random) -> object:
    """A broker that lives hands over all that it leads and coordinates, as before a restart in order."""
    node, leadership = rng.choice(NODES), installation.cluster.leadership
    if node in leadership.away | leadership.passed_over:
        return NO_DAMAGE
    await installation.move_leaders(node, rng.uniform(0.1, 8.0))
    return None


async def slow_network(installation: Installation, rng: Random) -> None:
    """Everything to and from one machine takes long."""
    names = [each.name for each in installation.processes] + [
        each.server.name for each in installation.databases.values()
    ]
    name = rng.choice([*names, *installation.wire.brokers])
    installation.network.slow[name] = rng.choice((10.0, 100.0, 1000.0))
    await asyncio.sleep(rng.uniform(0.5, 5.0))
    installation.network.slow.pop(name, None)


async def cut_network(installation: Installation, rng: Random) -> object:
    """A process reaches its database or a broker no more, while everybody else does."""
    process = rng.choice(installation.processes)
    other = rng.choice([f"{process.service}-db", *installation.wire.brokers])
    cut = frozenset((process.name, other))
    if cut in installation.network.cuts:
        return NO_DAMAGE
    installation.trace("cut", process.name, other)
    installation.network.cuts.add(cut)
    installation.wire.break_all(other, process.name)
    await asyncio.sleep(rng.choice((1.0, 14.0)) * rng.random())
    installation.network.cuts.discard(cut)
    return None
