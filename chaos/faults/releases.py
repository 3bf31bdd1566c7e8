"""Two releases side by side, as during an upgrade."""

import asyncio
from random import Random

from chaos.installation import Installation


async def other(installation: Installation, rng: Random) -> str:
    """An instance is restarted with the code of another release, and later with ours again."""
    victim = rng.choice(list(installation.processes))
    async with installation.restarted_with(victim, {"PYTHONPATH": str(installation.other_release)}):
        await asyncio.sleep(rng.uniform(5, 9))
    return f"{victim} restarted with the other release"
