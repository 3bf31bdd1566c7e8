"""Processes of the services: killed, and stopped for longer than anybody waits for them."""

import asyncio
import signal
from random import Random

from chaos.faults.fault import Fault
from chaos.installation import Installation


def killed(kind: str) -> Fault:
    """kill -9 of one instance of a kind, or of both."""

    async def inject(installation: Installation, rng: Random) -> str:
        victims = rng.sample(installation.instances_of(kind), rng.choice([1, 1, 2]))
        for victim in victims:
            installation.kill(victim)
        return f"{' and '.join(victims)} killed"

    return inject


def frozen(kind: str) -> Fault:
    """SIGSTOP to one instance of a kind, and SIGCONT when its work has been taken over, or just before."""

    async def inject(installation: Installation, rng: Random) -> str | None:
        victim, seconds = rng.choice(installation.instances_of(kind)), rng.uniform(1, 9)
        process = installation.processes[victim].process
        if process is None or process.poll() is not None:
            return None  # it is about to be started again
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            process.send_signal(signal.SIGCONT)
        return f"{victim} stopped for {seconds:.1f} s"

    return inject


async def everybody_killed(installation: Installation, _: Random) -> str:
    """kill -9 of all services at once."""
    for name in installation.processes:
        installation.kill(name)
    return f"all {len(installation.processes)} processes killed"
