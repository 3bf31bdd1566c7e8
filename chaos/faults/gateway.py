"""The payment gateway, another company's program."""

import asyncio
from random import Random

from chaos.installation import Installation


async def slow(installation: Installation, rng: Random) -> str:
    """Calls are taken, and nothing is done about them before the end."""
    seconds = rng.uniform(2, 8)
    with installation.gateway.slow():
        await asyncio.sleep(seconds)
    return f"the gateway answered nothing for {seconds:.1f} s, and then everything"


async def away(installation: Installation, rng: Random) -> str:
    """Connections are refused."""
    seconds = rng.uniform(2, 8)
    await asyncio.to_thread(installation.gateway.stop)
    try:
        await asyncio.sleep(seconds)
    finally:
        await asyncio.to_thread(installation.gateway.start)
    return f"the gateway was away for {seconds:.1f} s"


async def silent(installation: Installation, rng: Random) -> str | None:
    """The next calls are done, and their connections are dropped instead of an answer."""
    calls = rng.randint(1, 20)
    installation.gateway.drop_answers(calls)
    await asyncio.sleep(rng.uniform(1, 3))
    dropped = calls - installation.gateway.drop_answers(0)
    return f"the gateway dropped {dropped} answers" if dropped else None


async def nonsense(installation: Installation, rng: Random) -> str:
    """The next calls are answered with what no client can use, and nothing is done."""
    answers = [(500, b"<html>"), (200, b"{}"), (201, b"\xff\xfe"), (429, b"[]"), (302, b""), (503, b"{}")]
    chosen = rng.choices(answers, k=rng.randint(1, 12))
    installation.gateway.answer_with(*chosen)
    await asyncio.sleep(rng.uniform(1, 3))
    return f"the gateway answered up to {len(chosen)} calls with nonsense"
