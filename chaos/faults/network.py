"""Connections that are cut: what is sent gets nowhere, and nobody is told."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeAlias

from chaos.faults.fault import Fault
from chaos.installation import Installation
from chaos.network import Cut, cut

_Ports: TypeAlias = Callable[[Installation, Random], Sequence[int]]


def _from_an_instance(kinds: Sequence[str], ports: _Ports, what: str) -> Fault:
    """One instance of these kinds cannot reach these ports."""

    async def inject(installation: Installation, rng: Random) -> str | None:
        victim = rng.choice([name for kind in kinds for name in installation.instances_of(kind)])
        seconds = rng.uniform(2, 12)
        with cut(ports(installation, rng), installation.processes[victim].group) as made:
            await asyncio.sleep(seconds)
        return _what(f"{victim} cut off from {what}", seconds, made)

    return inject


def _of_a_server(ports: _Ports, what: str) -> Fault:
    """Nobody reaches these ports."""

    async def inject(installation: Installation, rng: Random) -> str | None:
        seconds = rng.uniform(2, 8)
        with cut(ports(installation, rng)) as made:
            await asyncio.sleep(seconds)
        return _what(f"{what} cut off", seconds, made)

    return inject


def _a_broker(installation: Installation, rng: Random) -> list[int]:
    return [rng.choice(list(installation.brokers.nodes.values())).advertised_port]


def _brokers(installation: Installation, _: Random) -> list[int]:
    return [node.advertised_port for node in installation.brokers.nodes.values()]


def _peer(installation: Installation, rng: Random) -> list[int]:
    return [rng.choice(list(installation.brokers.nodes.values())).peer_port]


def _controller(installation: Installation, rng: Random) -> list[int]:
    return [rng.choice(list(installation.brokers.nodes.values())).controller_port]


def _databases(installation: Installation, _: Random) -> list[int]:
    return [node.port for node in installation.databases.nodes]


def _gateway(installation: Installation, _: Random) -> list[int]:
    return [installation.gateway.port]


_ON_KAFKA = ("order-relay", "order-consumer", "inventory", "payment")

from_a_broker = _from_an_instance(_ON_KAFKA, _a_broker, "a broker")
from_all_brokers = _from_an_instance(_ON_KAFKA, _brokers, "all brokers")
from_the_database = _from_an_instance(("order-api", *_ON_KAFKA), _databases, "the database")
from_the_gateway = _from_an_instance(("payment",), _gateway, "the gateway")
between_brokers = _of_a_server(_peer, "a broker's followers were")
between_controllers = _of_a_server(_controller, "a controller was")


async def from_the_standbys(installation: Installation, rng: Random) -> str | None:
    """The primary and its standbys do not reach each other. Clients reach the primary."""
    databases, seconds = installation.databases, rng.uniform(2, 8)
    with cut(_databases(installation, rng), databases.group) as made:
        await asyncio.sleep(seconds)
    await databases.until_in_sync()
    return _what("the primary was cut off from its standbys", seconds, made)


def _what(happened: str, seconds: float, made: Cut) -> str | None:
    """A cut that dropped nothing did no damage."""
    return f"{happened} for {seconds:.1f} s, {made.dropped} packets lost" if made.dropped else None
