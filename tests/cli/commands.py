"""Commands run to their end."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.real_parts.order_process import OURS
from tests.real_parts.waiting import DEADLINE


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int | None
    output: str
    errors: str


async def oms(folder: Path, *arguments: str, **environment: str) -> Ended:
    """Run `oms` with nothing of the caller's configuration but this."""
    return await python(folder, "-m", "oms", *arguments, **environment)


async def python(folder: Path, *arguments: str, **environment: str) -> Ended:
    """Run Python in the same way."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith((*OURS, "LOG_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        env=inherited | {"DATA_DIR": str(folder / "data"), "COLUMNS": "200"} | environment,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise AssertionError(f"{' '.join(arguments)} did not end within {DEADLINE:.0f} s") from None
    return Ended(process.returncode, output.decode(), errors.decode())
