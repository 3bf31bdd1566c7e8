"""Rounds of faults: load, faults, rest, proof."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import asyncpg
from aiokafka.errors import KafkaError

from chaos.checks import violations
from chaos.clients import Clients
from chaos.evidence import Evidence, Witness, gather
from chaos.faults.fault import Fault
from chaos.installation import Installation
from chaos.linearizable import PORCUPINE, NotChecked, not_linearizable
from chaos.record import Injection, Record, Round

CLIENTS = 6
PAUSE = 0.25
FAULTS_FOR = 60.0
"""Seconds of a round in which faults begin."""
RECOVERS_WITHIN = 90.0
_FAULT_WITHIN = 150.0
_SHOWN = 5
_NOT_READY = (TimeoutError, OSError, asyncpg.PostgresError, KafkaError)
_ORDERS_A_ROUND = 20
_READ_AGAIN = 100


@dataclass(slots=True)
class Campaign:
    """`streams` are faults by type and name. `report` gets a line for each fault and each round. `checker` is the
    program that judges histories as well."""

    installation: Installation
    streams: Sequence[Mapping[str, Mapping[str, Fault]]]
    record: Record
    folder: Path
    report: Callable[[str], None]
    checker: Path | None = None

    async def run(self, until: float) -> None:
        """Begin rounds until that time of the monotonic clock, or until one is not kept."""
        began, rng = time.monotonic(), Random(self.record.seed)
        witness = Witness(self.installation)
        streams = [_Stream.of(faults, Random(rng.random())) for faults in self.streams if faults]
        while time.monotonic() < until and not self.record.violations:
            number = len(self.record.rounds) + 1
            round_ = await self._round(number, rng, streams, witness, began)
            self.report(_sentence(round_))
            self.record.rounds.append(round_)
            self.record.exits = self.installation.exits
            self.record.seconds = time.monotonic() - began
            self.record.write(self.folder)

    async def _round(
        self, number: int, rng: Random, streams: Sequence["_Stream"], witness: Witness, began: float
    ) -> Round:
        await self.installation.put_products(number)
        clients = Clients(number, self.installation.order_urls, Random(rng.random()))
        injections = await self._under_load(clients, streams, began)
        history = self.folder / f"chaos-{self.record.seed}-round-{number}.jsonl"
        evidence, wrong, seconds = await self._come_to_rest(number, clients, witness)
        await clients.read_again(_READ_AGAIN)
        clients.history.write(history)
        checked_by, contradictions = await self._second_opinion(history)
        unhealed = [injection.what for injection in injections if not injection.healed]
        if evidence:
            witness.forget_round(evidence)
        return Round(
            number=number,
            injections=injections,
            calls=len(clients.history.calls),
            unknown=sum(not call.is_known for call in clients.history.calls),
            orders=dict(Counter(order.status.value for order in evidence.orders.values())) if evidence else {},
            recovered_in=None if wrong else round(seconds, 1),
            checked_by=checked_by,
            violations=unhealed + clients.unexpected[:_SHOWN] + wrong + contradictions,
        )

    async def _under_load(self, clients: Clients, streams: Sequence["_Stream"], began: float) -> list[Injection]:
        """Inject the faults of a round while clients work."""
        stop = asyncio.Event()
        working = asyncio.create_task(clients.run(stop, CLIENTS, PAUSE))
        try:
            injections = await asyncio.gather(*(self._inject(stream, began) for stream in streams))
            await clients.until_accepted(_ORDERS_A_ROUND, within=RECOVERS_WITHIN)
        finally:
            stop.set()
            await working
        return sorted(itertools.chain(*injections), key=lambda injection: injection.at)

    async def _inject(self, stream: "_Stream", began: float) -> list[Injection]:
        """The faults of a stream in this round, one after another, without those that did no damage."""
        injections, until = [], time.monotonic() + FAULTS_FOR
        while time.monotonic() < until:
            await asyncio.sleep(stream.rng.uniform(0.2, 1.0))
            name, at, healed = next(stream.order), time.monotonic(), True
            what: str | None
            try:
                async with asyncio.timeout(_FAULT_WITHIN):
                    what = await stream.faults[name](self.installation, stream.rng)
            except (*_NOT_READY, AssertionError) as error:
                what, healed = f"{name} did not heal: {error!r}", False
            self.report(f"{at - began:7.1f} s  {name}: {what or 'no damage, so it does not count'}")
            if what is not None:
                seconds = round(time.monotonic() - at, 1)
                injections.append(Injection(name, round(at - began, 1), seconds, what, healed))
        return injections

    async def _come_to_rest(
        self, number: int, clients: Clients, witness: Witness
    ) -> tuple[Evidence | None, list[str], float]:
        """Look until nothing is wrong any more, or until it has taken too long; and the seconds that it took."""
        began, evidence = time.monotonic(), None
        while True:
            try:
                await self.installation.until_ready(RECOVERS_WITHIN)
                evidence = await gather(self.installation, witness, clients.history.calls, number)
                wrong = violations(evidence)
            except _NOT_READY as error:
                wrong = [f"it did not come to rest: {error!r}"]
            if not wrong or time.monotonic() > began + RECOVERS_WITHIN:
                return evidence, wrong, time.monotonic() - began
            await asyncio.sleep(0.5)

    async def _second_opinion(self, history: Path) -> tuple[list[str], list[str]]:
        """Who has checked the history, and the orders whose calls contradict one another."""
        if self.checker is None:
            return [__package__], []
        try:
            return [__package__, PORCUPINE], await asyncio.to_thread(not_linearizable, self.checker, history)
        except NotChecked as reason:
            self.report(str(reason))
            return [__package__], []


@dataclass(frozen=True, slots=True)
class _Stream:
    """Faults that are injected one after another, in an order and with details that a seed decides."""

    faults: Mapping[str, Fault]
    rng: Random
    order: Iterator[str]

    @classmethod
    def of(cls, types: Mapping[str, Mapping[str, Fault]], rng: Random) -> "_Stream":
        faults = {name: fault for of_type in types.values() for name, fault in of_type.items()}
        return cls(faults, rng, _in_turns([_in_turns([*of_type], rng) for of_type in types.values()], rng))


def _in_turns(names: Sequence[str | Iterator[str]], rng: Random) -> Iterator[str]:
    """Every name once, in an order of chance, again and again. So every type has its turn, and in it every fault."""
    while True:
        for name in rng.sample(names, len(names)):
            yield name if isinstance(name, str) else next(name)


def _sentence(round_: Round) -> str:
    orders = ", ".join(f"{count} {status}" for status, count in sorted(round_.orders.items()))
    seconds = round_.recovered_in
    kept = "it did not come to rest" if seconds is None else f"everything agrees after {seconds:.1f} s"
    first = f"round {round_.number}: {round_.calls} calls, {round_.unknown} of unknown outcome; {orders}; {kept}"
    return "\n    ".join([first, *round_.violations])
