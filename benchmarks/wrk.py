"""Load on POST /orders with wrk: 64 connections, as fast as they are answered."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 64
_LONGEST_FLOOD = 300
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


async def load(url: str, seconds: int, *, idempotency_keys: bool = False, token: str | None = None) -> Load:
    """Post orders for `seconds`. Raises RuntimeError when one of them was not accepted."""
    more = {"IDEMPOTENCY_KEYS": "1"} if idempotency_keys else {}
    process = await asyncio.create_subprocess_exec(
        *_command(url, seconds),
        env=_environment(token) | more,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report = (await process.communicate())[0].decode()
    found = re.search(
        r"99%\s+([\d.]+)(us|ms|s|m)\s.*?(\d+) requests in.*?Requests/sec:\s+([\d.]+)", report, flags=re.DOTALL
    )
    if process.returncode or not found or "Non-2xx" in report or "Socket errors" in report:
        raise RuntimeError(f"not every order was accepted by {url}:\n{report}")
    p99, unit, requests, per_second = found.groups()
    return Load(int(requests), float(per_second), float(p99) * _UNITS[unit])


@contextmanager
def flood(url: str, token: str | None) -> Iterator[None]:
    """Post orders as fast as they are answered, or refused, during the block."""
    process = subprocess.Popen(_command(url, _LONGEST_FLOOD), env=_environment(token), stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _command(url: str, seconds: int) -> list[str]:
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "--latency", "-s", str(_SCRIPT)]
    return ["wrk", *options, url]


def _environment(token: str | None) -> dict[str, str]:
    return os.environ | ({"TOKEN": token} if token else {})
