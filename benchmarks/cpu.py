"""CPU time by process: where the next improvement would have to be made."""

from collections.abc import Mapping
from contextlib import suppress

import psutil

from benchmarks.database import connected
from benchmarks.installation import Installation

_BROKERS = ("java", "redpanda")


class CpuMeter:
    """Reads what the services, PostgreSQL, the broker and this process, the client, have used. What does not run on
    this machine, or hides in a container, is left out."""

    def __init__(self, processes: Mapping[str, psutil.Process], postmaster: psutil.Process | None) -> None:
        self._processes = processes
        self._postmaster = postmaster

    @classmethod
    async def of(cls, installation: Installation, bootstrap_servers: str) -> "CpuMeter":
        """The meter of a running installation."""
        processes = {name: psutil.Process(service.pid) for name, service in installation.processes.items()}
        if installation.part and (broker := _listening_at(int(bootstrap_servers.rpartition(":")[2]))):
            processes["broker"] = broker
        processes["client"] = psutil.Process()
        return cls(processes, await _postmaster_of(installation.order_dsn))

    def read(self) -> dict[str, float]:
        """Seconds of user and system time so far, by name."""
        used = {name: used_by(process) for name, process in self._processes.items()}
        if self._postmaster is not None:
            used["PostgreSQL"] = _with_children(self._postmaster)
        return used


def used_by(process: psutil.Process) -> float:
    """Seconds of user and system time that a process has used so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _with_children(postmaster: psutil.Process) -> float:
    """Of backends that have ended, the postmaster knows."""
    ended = postmaster.cpu_times()
    used = used_by(postmaster) + float(ended.children_user + ended.children_system)
    for child in postmaster.children():
        try:
            used += used_by(child)
        except psutil.NoSuchProcess:
            continue
    return used


async def _postmaster_of(dsn: str) -> psutil.Process | None:
    """The parent of the process that serves our connection."""
    async with connected(dsn) as connection:
        pid = await connection.fetchval("select pg_backend_pid()")
        try:
            backend = psutil.Process(pid)
            return backend.parent() if "postgres" in backend.name() else None
        except psutil.NoSuchProcess:
            return None


def _listening_at(port: int) -> psutil.Process | None:
    with suppress(psutil.Error):  # it may end, or be another user's, while we look
        for process in psutil.process_iter(["name"]):
            if (process.info["name"] or "").startswith(_BROKERS) and any(
                connection.status == psutil.CONN_LISTEN and connection.laddr[1] == port
                for connection in process.net_connections("tcp")
            ):
                return process
    return None
