"""The faults of a history. A seed decides which kinds there are, how often they come, and when they stop."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeAlias

from messaging.ports.subscription import group_of
from simulation import outages
from simulation.event_loop import MACHINE, Machine
from simulation.installation import STEP_TIMEOUT, Installation, Process
from simulation.invariants import Watch
from simulation.kafka.connection import Fate
from simulation.outages import NO_DAMAGE

_KINDS_OF_REQUESTS: Final = ("Produce", "EndTxn", "AddPartitionsToTxn", "InitProducerId", "OffsetCommit", "Fetch")

_MOVED_WHEN_ASKED: Final = 0.1
"""The share of questions for committed offsets that a coordinator leaves to another broker."""
_AWAY_FOR: Final = STEP_TIMEOUT * 7.5
"""Long enough for the longest step and its grace."""
_IN_A_TRANSACTION: Final = ("AddPartitionsToTxn", "Produce", "EndTxn")
_FROZEN_IN_IT: Final = 0.005
_OVERDUE: Final = "order: overdue"
_DECIDED_ON: Final = {_OVERDUE: 0.2, "read the outbox": 0.005}
"""What a process reads and then acts upon, and how often it is frozen between the two."""
_FROZEN_AFTER_READING: Final = 2
"""So often in a history. A process that is frozen again and again keeps no time limit."""
_FROZEN_FOR: Final = ((0.5, 9.0), (10.0, 15.0), (15.0, 25.0))
"""A session is given up after 10 s, and a transaction after 15 s."""
_PARTNERS_AWAY: Final = 0.2
"""The share of histories that may wait for a partner: they take long."""

Fault: TypeAlias = Callable[["Faults"], Awaitable[object]]


@dataclass(slots=True)
class Faults:
    """The faults of one history. `injected` counts them by kind. A share of the `requests` meets another fate. Each
    request that does is a fault of its own, and so is each call of the gateway that fails."""

    installation: Installation
    rng: Random
    watch: Watch
    kinds: tuple[str, ...]
    requests: tuple[str, ...]
    share_of_requests: float
    pause: float
    without: frozenset[str]
    injected: Counter[str] = field(default_factory=Counter)
    world: Machine = field(default_factory=MACHINE.get)
    _left_to_freeze: int = _FROZEN_AFTER_READING
    _silent_since: float = -math.inf
    _until_overdue: asyncio.Future[None] | None = None
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    def drawn(cls, installation: Installation, rng: Random, watch: Watch, without: frozenset[str]) -> "Faults":
        """Some kinds of faults, at a rate of chance: histories with few of them find what a mixture of all hides. Those
        in `without` are drawn, too, and not injected, so that the others come as they would."""
        names = sorted(FAULTS if rng.random() < _PARTNERS_AWAY else FAULTS.keys() - {"partner away"})
        kinds = tuple(sorted(rng.sample(names, rng.randint(1, len(names)))))
        requests = tuple(rng.sample(_KINDS_OF_REQUESTS, rng.randint(1, len(_KINDS_OF_REQUESTS))))
        return cls(
            installation,
            rng,
            watch,
            kinds,
            requests,
            rng.choice((0.01, 0.05, 0.2)),
            rng.choice((0.5, 1.5, 4.0)),
            without,
        )

    async def run(self, seconds: float) -> None:
        """Inject faults for so many seconds, and return when the last of them is over."""
        loop = self.installation.loop
        until = loop.time() + seconds
        gateway = self.installation.gateway
        self.installation.wire.fate = self._fate
        for database in self.installation.databases.values():
            database.server.answers = self._answered
        if self._has("gateway failing"):
            gateway.failing = self.rng.choice((0.05, 0.2, 0.45))
        while loop.time() < until:
            await asyncio.sleep(self.rng.expovariate(1 / self.pause))
            name = self.rng.choice(self.kinds)
            if FAULTS[name] is Faults.nothing or not self._has(name):
                continue
            self.installation.trace("fault", name)
            task = loop.create_task(self._inject(name))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        if self._under_way:
            await asyncio.wait(list(self._under_way))
        self.installation.wire.fate = lambda _client, _kind: Fate.ARRIVES
        for database in self.installation.databases.values():
            database.server.answers = lambda _client, _what, _result: None
        gateway.failing = 0.0
        if gateway.failed:
            self.injected["gateway failing"] = gateway.failed

    def _has(self, kind: str) -> bool:
        return kind in self.kinds and kind not in self.without

    async def _inject(self, name: str) -> None:
        """Inject a fault. One that does no damage, because another one has done it, does not count."""
        self.injected[name] += 1
        if await FAULTS[name](self) is NO_DAMAGE:
            self.injected[name] -= 1

    def _fate(self, client: str, kind: str) -> Fate:
        if self._has("process frozen") and kind in _IN_A_TRANSACTION and self.rng.random() < _FROZEN_IN_IT:
            self._freeze_now(client)
        if self._has("leaders moved") and kind == "OffsetFetch" and self.rng.random() < _MOVED_WHEN_ASKED:
            self._move_coordinator(client)
        if not self._has("late requests") or kind not in self.requests:
            return Fate.ARRIVES
        if self.rng.random() > self.share_of_requests:
            return Fate.ARRIVES
        self.injected["late requests"] += 1
        fate = self.rng.choice([fate for fate in Fate if fate is not Fate.ARRIVES])
        if fate is Fate.HELD_SILENTLY and kind == "Fetch":
            self._silent_since = self.installation.loop.time()
        return fate

    def _move_coordinator(self, client: str) -> None:
        """Another broker coordinates a group just when a member asks where to go on."""
        leadership = self.installation.cluster.leadership
        node = leadership.coordinator(group_of(self._process(client).service))
        if node not in leadership.away | leadership.passed_over:
            self.injected["leaders moved"] += 1
            leadership.passed_over.add(node)
            self.installation.loop.call_later(
                self.rng.uniform(0.1, 8.0),
                leadership.passed_over.discard,
                node,
                context=self.installation.network.context_of(self.world),
            )

    def _answered(self, client: str, what: str, result: object) -> None:
        if what == _OVERDUE and result and self._until_overdue is not None and not self._until_overdue.done():
            self._until_overdue.set_result(None)
            if "process frozen" not in self.without:
                self._freeze_now(client)
        elif (
            self._has("process frozen")
            and result
            and self._left_to_freeze
            and self.rng.random() < _DECIDED_ON.get(what, 0.0)
        ):
            self._left_to_freeze -= 1
            self._freeze_now(client)

    def _freeze_now(self, client: str) -> None:
        """Stop a process in the middle of what it does, for shorter or longer than its shards are kept for it."""
        loop = self.installation.loop
        machine = self._process(client).machine
        if not machine.is_frozen:
            self.injected["process frozen"] += 1
            loop.freeze(machine)
            loop.call_later(
                self.rng.uniform(*self.rng.choice(_FROZEN_FOR)),
                loop.thaw,
                machine,
                context=self.installation.network.context_of(self.world),
            )

    def _process(self, name: str) -> Process:
        return next(each for each in self.installation.processes if each.name == name)

    async def kill_process(self) -> None:
        """kill -9, and a start some time later."""
        self.installation.kill(self.rng.choice(self.installation.processes))

    async def stop_process(self) -> None:
        """SIGTERM, and a start."""
        self.installation.stop(self.rng.choice(self.installation.processes))

    async def freeze_process(self) -> object:
        """SIGSTOP, for shorter or longer than anybody waits, and SIGCONT."""
        machine = self.rng.choice(self.installation.processes).machine
        if machine.is_frozen:
            return NO_DAMAGE
        self.installation.loop.freeze(machine)
        await asyncio.sleep(self.rng.choice((0.5, 5.0, 14.0)) * self.rng.random() * 2)
        self.installation.loop.thaw(machine)
        return None

    async def partner_away(self) -> object:
        """A partner is away for much longer than a step may take, and the orders that wait for it are taken back. Or it
        comes back when deadlines are just passing, or in the very moment in which somebody has seen that one has."""
        if self.injected["partner away"] > 1:
            return NO_DAMAGE
        partner, began = self.rng.choice(("inventory", "payment")), self.installation.loop.time()
        chance = self.rng.random()
        if chance < 0.3:
            await self.installation.hold_down(partner, asyncio.sleep(STEP_TIMEOUT * self.rng.uniform(0.9, 1.5)))
            return None
        if chance < 0.7:
            self._until_overdue = self.installation.loop.create_future()
            await self.installation.hold_down(partner, asyncio.wait([self._until_overdue], timeout=STEP_TIMEOUT * 3))
            return None
        down = self.installation.loop.create_task(self.installation.hold_down(partner, asyncio.sleep(_AWAY_FOR + 1.0)))
        await asyncio.sleep(_AWAY_FOR)
        if self._silent_since < began:  # else deadlines wait, for answers that may be there and were not read yet
            orders = self.installation.databases["order"].store
            self.watch.broken += self.watch.waiting_since(orders, began)
        await down
        return None

    async def wrong_clock(self) -> None:
        """The clock of a process is off by seconds from now on."""
        self.rng.choice(self.installation.processes).machine.clock_offset = self.rng.uniform(-5, 5)

    async def nothing(self) -> None:
        """What happens all the time needs no moment of its own."""


def _outage(happens: Callable[[Installation, Random], Awaitable[object]]) -> Fault:
    return lambda faults: happens(faults.installation, faults.rng)


FAULTS: Final[dict[str, Fault]] = {
    "process killed": Faults.kill_process,
    "process stopped": Faults.stop_process,
    "process frozen": Faults.freeze_process,
    "partner away": Faults.partner_away,
    "clock wrong": Faults.wrong_clock,
    "database crashed": _outage(outages.crash_database),
    "database failed over": _outage(outages.fail_over),
    "standby away": _outage(outages.lose_standby),
    "rows failing": _outage(outages.failing_rows),
    "broker away": _outage(outages.crash_broker),
    "leaders moved": _outage(outages.move_leaders),
    "network cut": _outage(outages.cut_network),
    "network slow": _outage(outages.slow_network),
    "gateway failing": Faults.nothing,
    "late requests": Faults.nothing,
}
