"""Load on POST /orders with wrk: 64 connections, as fast as they are answered."""

import asyncio
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 64
_SCRIPT = Path(__file__).with_name("post.lua")
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class WrkMissing(Exception):
    """wrk is not on the PATH."""

    def __init__(self) -> None:
        super().__init__("wrk is needed (Debian/macOS package wrk)")


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk measured."""

    requests: int
    per_second: float
    p99_ms: float


def require_wrk() -> None:
    """Raises WrkMissing."""
    if not shutil.which("wrk"):
        raise WrkMissing


async def load(url: str, seconds: int, *, idempotency_keys: bool = False) -> Load:
    """Post orders for `seconds`. Raises RuntimeError when one of them was not accepted."""
    process = await asyncio.create_subprocess_exec(
        "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "--latency", "-s", str(_SCRIPT), url,
        env=os.environ | ({"IDEMPOTENCY_KEYS": "1"} if idempotency_keys else {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    report = (await process.communicate())[0].decode()
    found = re.search(
        r"99%\s+([\d.]+)(us|ms|s|m)\s.*?(\d+) requests in.*?Requests/sec:\s+([\d.]+)", report, flags=re.DOTALL
    )
    if process.returncode or not found or "Non-2xx" in report or "Socket errors" in report:
        raise RuntimeError(f"not every order was accepted by {url}:\n{report}")
    p99, unit, requests, per_second = found.groups()
    return Load(int(requests), float(per_second), float(p99) * _UNITS[unit])
