"""Requests to the brokers pass a proxy, where those of relays can arrive late, twice or without an answer."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random

from tests.real_parts.kafka_proxy import Fate, Kind, Request, deliver

_ONE_IN = 3


@dataclass(frozen=True, slots=True)
class _Trouble:
    kind: Kind
    fate: Fate
    rng: Random


@dataclass(slots=True)
class Requests:
    """Those of transactional producers meet their fate while there is `trouble`, one in three of a kind. A held one is
    delivered within three seconds. `met` counts them."""

    met: int = 0
    _trouble: _Trouble | None = None
    _deliveries: set[asyncio.Task[None]] = field(default_factory=set)

    @contextmanager
    def trouble(self, kind: Kind, fate: Fate, rng: Random) -> Iterator[None]:
        """Requests of this kind meet this fate, as long as this lasts."""
        self.met, self._trouble = 0, _Trouble(kind, fate, rng)
        try:
            yield
        finally:
            self._trouble = None

    async def script(self, request: Request) -> Fate:
        """See kafka_proxy."""
        trouble = self._trouble
        if trouble is None or request.kind is not trouble.kind or request.transactional_id is None:
            return Fate.FORWARD
        if trouble.rng.randrange(_ONE_IN):
            return Fate.FORWARD
        self.met += 1
        if trouble.fate in (Fate.HOLD, Fate.HOLD_SILENTLY):
            delivery = asyncio.create_task(_deliver_late(request, trouble.rng.uniform(0.02, 3)))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)
        return trouble.fate

    async def answered(self, request: Request, answer: bytes) -> None:
        """See kafka_proxy."""


async def _deliver_late(request: Request, seconds: float) -> None:
    await asyncio.sleep(seconds)
    with suppress(OSError, EOFError, TimeoutError):  # that broker is away, so it never arrives
        await deliver(request)
