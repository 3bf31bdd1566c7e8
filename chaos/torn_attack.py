"""An attack on one shard's producer: what becomes of one of its requests, and when a held one arrives after all."""

import asyncio
import struct
from dataclasses import dataclass, field
from random import Random

from aiokafka.errors import for_code

from tests.real_parts.kafka_proxy import Fate, Kind, Request, deliver

_HELD = (Fate.HOLD, Fate.HOLD_SILENTLY)
_LATEST_MOMENT = 8
_LONGEST_LAG = 0.006
_SLOWNESS = 0.15


@dataclass(slots=True)
class Attack:
    """The first `skip` requests of the kind pass, the next one meets the fate. After its repetition was answered, the
    requests and answers of the producer are moments, or only those of the kind `aim`. At the drawn one a held request
    is delivered: in front of it, or beside it after a `lag`. Produce requests to the broker at `slow_port` are under
    way for a while, so that a transaction is written in several steps."""

    kind: Kind
    fate: Fate
    skip: int
    aim: Kind | None
    moment: int
    lag: float | None
    slow_port: int | None
    chance: Random
    met: bool = False
    delivered: bool = False
    late_answer: str | None = None
    _held: Request | None = None
    _repeated: bool = False
    _deliveries: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.met and (self._held is None or self.delivered)

    async def script(self, request: Request) -> Fate:
        """See kafka_proxy."""
        if request.kind is Kind.PRODUCE and request.port == self.slow_port:
            await asyncio.sleep(self.chance.uniform(0, _SLOWNESS))
        await self._moment_passes(request)
        if self.met or request.kind is not self.kind:
            return Fate.FORWARD
        if self.skip > 0:
            self.skip -= 1
            return Fate.FORWARD
        self.met = True
        self._held = request if self.fate in _HELD else None
        return self.fate

    async def answered(self, request: Request, _answer: bytes) -> None:
        """See kafka_proxy."""
        if self._held is not None and not self._repeated:
            self._repeated = request.kind is self.kind
        else:
            await self._moment_passes(request)

    async def at_rest(self) -> None:
        """Deliver what is still held: it may arrive when nothing else happens any more, too."""
        if self._held is not None and not self.delivered:
            self.delivered = True
            await self._deliver(self._held, 0)
        await asyncio.gather(*self._deliveries)

    async def _moment_passes(self, request: Request) -> None:
        if self._held is None or not self._repeated or self.delivered or self.aim not in (None, request.kind):
            return
        self.moment -= 1
        if self.moment > 0:
            return
        self.delivered = True
        delivery = asyncio.create_task(self._deliver(self._held, self.lag or 0))
        self._deliveries.append(delivery)
        if self.lag is None:
            await asyncio.shield(delivery)  # it arrives, also when the connection of this moment ends

    async def _deliver(self, held: Request, lag: float) -> None:
        await asyncio.sleep(lag)
        answer = await deliver(held)
        if held.kind in (Kind.END_TXN, Kind.INIT_PRODUCER_ID):  # the error stands behind two numbers
            self.late_answer = for_code(struct.unpack_from(">h", answer, 8)[0]).__name__


def draw(kind: Kind, fate: Fate, seed: int, ports: list[int]) -> Attack:
    """The attack of a seed, on brokers at these ports."""
    chance = Random(f"{kind.name}/{fate.name}/{seed}")
    return Attack(
        kind,
        fate,
        skip=0 if kind is Kind.INIT_PRODUCER_ID else chance.randrange(3),
        aim=chance.choice([Kind.PRODUCE, Kind.PRODUCE, None]),
        moment=chance.randint(1, _LATEST_MOMENT),
        lag=chance.uniform(0, _LONGEST_LAG) if chance.random() < 0.4 else None,
        slow_port=chance.choice([None, *ports]),
        chance=chance,
    )
