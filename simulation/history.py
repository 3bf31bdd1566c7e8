"""One simulated history: a seed, orders, faults, the rest after them, and what was wrong then."""

import asyncio
import hashlib
import traceback
from collections import Counter
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from random import Random
from typing import Final

from aiokafka.errors import KafkaError

from chaos.checks import violations
from simulation.chance import Chance, nothing_else
from simulation.checks import broken_at_the_end
from simulation.clients import Clients, product
from simulation.event_loop import MACHINE, Machine, SimulatedLoop
from simulation.evidence import gather
from simulation.faults import Faults
from simulation.installation import Installation, simulated
from simulation.invariants import Watch
from tests.real_parts.three_services import PRODUCTS

_SETTLES_WITHIN: Final = 180.0
_LOOK_EVERY: Final = 1.0


@dataclass(slots=True)
class Outcome:
    """What became of a history. `hash` is that of everything that happened: the same seed has the same one."""

    seed: int
    hash: str
    orders: Counter[str]
    calls: int
    unknown: int
    injected: Counter[str]
    commits: int
    seconds: float
    recovered_in: float | None
    violations: list[str]

    @classmethod
    def stuck(cls, seed: int, why: str) -> "Outcome":
        """A history that has not come to its end."""
        return cls(seed, "", Counter(), 0, 0, Counter(), 0, 0.0, None, [f"the simulation cannot go on: {why}"])


@dataclass(slots=True)
class Trace:
    """Everything that happens, as a hash. `show` sees it, too."""

    loop: SimulatedLoop
    show: Callable[[str], None] | None = None
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def __call__(self, *what: object) -> None:
        """Something happens."""
        line = f"{self.loop.time():.6f} {' '.join(map(str, what))}"
        self._hash.update(line.encode() + b"\n")
        if self.show is not None:
            self.show(line)

    @property
    def hash(self) -> str:
        """The hash so far."""
        return self._hash.hexdigest()


def simulate(
    seed: int,
    orders: int = 100,
    show: Callable[[str], None] | None = None,
    without: frozenset[str] = frozenset(),
) -> Outcome:
    """The history of a seed. `without` are kinds of faults that are left out of it."""
    return copy_context().run(_simulate, seed, orders, show, without)


def _simulate(seed: int, orders: int, show: Callable[[str], None] | None, without: frozenset[str]) -> Outcome:
    MACHINE.set(Machine("world"))
    rng = Random(f"history {seed}")
    loop = SimulatedLoop(Random(rng.random()))
    chance = Chance(loop, Random(rng.random()))
    trace = Trace(loop, show)
    with nothing_else(loop, chance, f"chance {seed}"):
        installation = Installation(loop, Random(rng.random()), chance, trace)
        with simulated(installation):
            return loop.run_until_complete(_history(seed, orders, installation, rng, trace, without))


async def _history(
    seed: int, orders: int, installation: Installation, rng: Random, trace: Trace, without: frozenset[str]
) -> Outcome:
    loop = installation.loop
    loop.create_task(installation.cluster.run())
    installation.put_products({product(name): it for name, it in PRODUCTS.items()})
    for service in sorted(installation.databases):
        for number in range(1, rng.choice((1, 2, 2)) + 1):
            installation.add_process(service, number)
    watch = Watch()
    for database in installation.databases.values():
        database.committed = watch
    clients = Clients(installation, Random(rng.random()))
    faults = Faults.drawn(installation, Random(rng.random()), watch, without)
    await asyncio.sleep(rng.uniform(0.0, 4.0))
    seconds = rng.uniform(5.0, 25.0) * min(1.0, orders / 50)
    injecting = loop.create_task(faults.run(seconds))
    await clients.run(orders, within=0.7 * seconds, clients=rng.choice((2, 5, 20)), burst=rng.choice((1, 3, 10)))
    await injecting
    recovered = await _come_to_rest(installation, clients)
    await clients.read_again()
    evidence = gather(installation, clients.history.calls)
    if len(evidence.orders) < orders / 2:
        clients.unexpected.append(f"only {len(evidence.orders)} of {orders} orders were accepted, which proves little")
    wrong = (
        installation.broken
        + watch.broken
        + violations(evidence)
        + clients.unexpected
        + broken_at_the_end(installation, evidence.published)
        + [f"{how}: {error!r}" for how, error in loop.errors if not _is_of_the_client(error)]
    )
    return Outcome(
        seed,
        trace.hash,
        Counter(order.status.value for order in evidence.orders.values()),
        len(clients.history.calls),
        sum(not call.is_known for call in clients.history.calls),
        faults.injected,
        watch.commits,
        loop.time(),
        recovered,
        wrong,
    )


def _is_of_the_client(error: BaseException | None) -> bool:
    """True for what the Kafka client has raised in a task of its own, which the product sees in other ways, or not."""
    frames = list(traceback.walk_tb(error.__traceback__)) if error is not None else []
    inside = bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).startswith("aiokafka.")
    return inside or isinstance(error, KafkaError)


async def _come_to_rest(installation: Installation, clients: Clients) -> float | None:
    """Look until nothing is wrong any more, and return the seconds that it took. None when it has taken too long."""
    loop = installation.loop
    began = loop.time()
    while violations(gather(installation, clients.history.calls)):
        if loop.time() > began + _SETTLES_WITHIN:
            return None
        await asyncio.sleep(_LOOK_EVERY)
    return loop.time() - began
