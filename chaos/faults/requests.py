"""Requests of relays' producers that arrive late or twice, or whose answers are lost."""

import asyncio
from contextlib import suppress
from random import Random

from chaos.faults.fault import Fault
from chaos.installation import Installation
from tests.real_parts.kafka_proxy import Fate, Kind

_MEETS_ONE_WITHIN = 10.0


def meeting(*fates: Fate) -> Fault:
    """One of these fates befalls requests of one kind for a while, and longer if none of them comes."""

    async def inject(installation: Installation, rng: Random) -> str | None:
        kind, fate, requests = rng.choice(list(Kind)), rng.choice(fates), installation.requests
        with requests.trouble(kind, fate, rng):
            await asyncio.sleep(rng.uniform(2, 5))
            with suppress(TimeoutError):
                async with asyncio.timeout(_MEETS_ONE_WITHIN):
                    while not requests.met:
                        await asyncio.sleep(0.2)
        return f"{requests.met} requests {kind.name} met {fate.name}" if requests.met else None

    return inject


late = meeting(Fate.HOLD, Fate.HOLD_SILENTLY)
doubled = meeting(Fate.TWICE)
unanswered = meeting(Fate.LOSE_ANSWER, Fate.BREAK)
