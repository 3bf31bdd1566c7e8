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
from tests.real_parts.kafka import KAFKA_VERSION, Broker

_WRITES = 50


def describe(plan: Plan, database: DatabaseServer, broker: Broker) -> str:
    """One line a fact, as a Markdown list."""
    facts = {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {plan.name} run",
        "machine": f"{os.cpu_count()} cores, {_cpu()}, {platform.system()} {platform.release()}",
        "before the run": f"{psutil.cpu_percent(interval=2):.0f} % of the CPUs in use",
        "Python": platform.python_version(),
        "PostgreSQL": f"{database.version}; {database.settings}",
        "one fsync": database.folder and f"{_fsync_ms(database.folder):.2f} ms",
        "broker": _name_of(broker),
    }
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items() if fact)


def _name_of(broker: Broker) -> str:
    """Kafka's protocol does not tell its version; we know that of the one we start."""
    if broker.stop is None:
        return "the one at KAFKA_BOOTSTRAP_SERVERS"
    return f"started for this run: Redpanda where Docker answers, else Apache Kafka {KAFKA_VERSION}"


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
