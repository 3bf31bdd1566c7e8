"""One machine's clock is wrong."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from random import Random

from chaos.installation import Installation

_LIBRARIES: Sequence[Path] = (
    Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"),
    Path("/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"),
    Path("/usr/local/lib/faketime/libfaketime.so.1"),
)


def library() -> Path | None:
    """libfaketime, which tells a process another time, if it is installed."""
    return next((path for path in _LIBRARIES if path.exists()), None)


async def off(installation: Installation, rng: Random) -> str:
    """An instance is restarted with a clock that is up to five seconds ahead or behind, and later with the right
    one."""
    victim, seconds = rng.choice(list(installation.processes)), rng.choice([-1, 1]) * rng.uniform(0.5, 5)
    wrong = {"LD_PRELOAD": os.fspath(library() or ""), "FAKETIME": f"{seconds:+.3f}s", "DONT_FAKE_MONOTONIC": "1"}
    async with installation.restarted_with(victim, wrong):
        await asyncio.sleep(rng.uniform(4, 8))
    return f"{victim} restarted with a clock off by {seconds:+.1f} s"
