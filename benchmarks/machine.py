"""What the figures were measured on."""

import os
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.database import DatabaseServer
from benchmarks.plan import Plan

_WRITES = 50


def describe(plan: Plan, database: DatabaseServer, broker: str) -> str:
    """One line a fact, as a Markdown list."""
    facts = {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {plan.name} run",
        "machine": f"{os.cpu_count()} cores, {_cpu()}, {platform.system()} {platform.release()}",
        "before the run": f"{psutil.cpu_percent(interval=2):.0f} % of the CPUs in use",
        "Python": platform.python_version(),
        "PostgreSQL": f"{database.version}; {database.settings}",
        "one fsync": database.folder and f"{_fsync_ms(database.folder):.2f} ms",
        "broker": broker,
    }
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items() if fact)


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _fsync_ms(folder: Path) -> float:
    """The median of what one 8 KiB write takes to be on the disk of `folder`, in milliseconds."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_WRITES):
            started = time.perf_counter()
            file.write(bytes(8192))
            file.flush()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took)
