"""The database servers: the primary lost, restarted or read-only, and standbys that are away."""

import asyncio
from contextlib import suppress
from random import Random

from chaos.faults.fault import paused
from chaos.installation import Installation


async def primary_killed(installation: Installation, rng: Random) -> str:
    """kill -9 of the primary; a standby is promoted, as a failover manager does after a while."""
    databases = installation.databases
    primary = databases.primary
    await asyncio.to_thread(primary.kill)
    await asyncio.sleep(rng.uniform(0.5, 3))
    await asyncio.to_thread(databases.fail_over)
    await databases.until_in_sync()
    return f"{primary.data.name} killed, {databases.primary.data.name} promoted"


async def primary_restarted(installation: Installation, rng: Random) -> str:
    """kill -9 of the primary, which comes back by itself."""
    databases = installation.databases
    await asyncio.to_thread(databases.primary.kill)
    await asyncio.sleep(rng.uniform(0.2, 3))
    await asyncio.to_thread(databases.primary.start)
    await databases.until_in_sync()
    return f"{databases.primary.data.name} killed and started again"


async def standby_away(installation: Installation, rng: Random) -> str:
    """One standby stops: the other acknowledges."""
    standby, seconds = rng.choice(installation.databases.standbys), rng.uniform(2, 6)
    async with paused([standby], seconds):
        return f"standby {standby.data.name} stopped for {seconds:.1f} s"


async def standbys_away(installation: Installation, rng: Random) -> str:
    """Both standbys stop: no commit is acknowledged. Sometimes the primary is killed and starts again before they
    come back, which makes commits visible that no standby has."""
    databases, seconds, crash = installation.databases, rng.uniform(2, 8), rng.random() < 0.5
    async with paused(databases.standbys, seconds):
        if crash:
            await asyncio.to_thread(databases.primary.kill)
            await asyncio.to_thread(databases.primary.start)
            await asyncio.sleep(seconds / 2)
    await databases.until_in_sync()
    return f"both standbys stopped for {seconds:.1f} s" + (" and the primary killed meanwhile" if crash else "")


async def read_only(installation: Installation, rng: Random) -> str:
    """The primary takes no writes for a while, as managed databases do when their disk is nearly full."""
    primary, seconds = installation.databases.primary, rng.uniform(2, 6)
    await asyncio.to_thread(primary.execute, "alter system set default_transaction_read_only = on")
    await asyncio.to_thread(primary.execute, "select pg_reload_conf()")
    try:
        await asyncio.sleep(seconds)
    finally:
        await asyncio.to_thread(primary.execute, "alter system reset default_transaction_read_only")
        await asyncio.to_thread(primary.execute, "select pg_reload_conf()")
    return f"the primary was read-only for {seconds:.1f} s"


async def disk_full(installation: Installation, rng: Random) -> str:
    """The primary's disk has no room for a while. When the write-ahead log needs some, the server ends, and is started
    again when there is room."""
    databases, seconds = installation.databases, rng.uniform(2, 8)
    disk, primary = databases.disk, databases.primary
    await asyncio.to_thread(disk.fill)
    try:
        if rng.random() < 0.5:
            with suppress(AssertionError):  # the server may end instead of an answer
                await asyncio.to_thread(primary.execute, "select pg_switch_wal()")
        await asyncio.sleep(seconds)
    finally:
        await asyncio.to_thread(disk.free)
    ended = not primary.is_running
    if ended:
        await asyncio.to_thread(primary.start)
    await databases.until_in_sync()
    return f"the primary's disk was full for {seconds:.1f} s" + (", and it ended" if ended else "")
