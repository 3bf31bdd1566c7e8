"""A real PostgreSQL with streaming standbys on loopback: killed, stopped and promoted as on a bad day."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from messaging.runtime.embedded_postgres.programs import Programs, find_programs
from tests.real_parts.kafka import free_port
from tests.real_parts.waiting import DEADLINE

_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 16MB
max_wal_size = 256MB
wal_keep_size = 256MB
wal_retrieve_retry_interval = 200ms
wal_receiver_status_interval = 1s
"""


@dataclass(frozen=True, slots=True)
class Node:
    """One server of a cluster. Every method is synchronous."""

    programs: Programs
    data: Path
    port: int

    def dsn(self, database: str = "postgres") -> str:
        """The address of one of its databases."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}?sslmode=disable"

    @property
    def is_running(self) -> bool:
        """True while there is a server."""
        return self._postmaster() is not None

    @property
    def log_file(self) -> Path:
        """Where it logs."""
        return self.data.parent / f"{self.data.name}.log"

    def start(self) -> None:
        """Return when it takes connections."""
        self._control("start", "-w", "-o", f"-p {self.port}", "-l", str(self.log_file))

    def stop(self) -> None:
        """Stop it as an operator would; nothing when it does not run."""
        if self._postmaster() is not None:
            self._control("stop", "-w", "-m", "fast")

    def promote(self) -> None:
        """Make this standby a primary; return when it takes writes."""
        self._control("promote", "-w")

    def kill(self) -> None:
        """kill -9 of the server and of all its sessions; return when they are gone."""
        if (postmaster := self._postmaster()) is None:
            return
        postmaster.suspend()  # it starts no session while they are counted
        processes = self._processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        _, alive = psutil.wait_procs(processes, timeout=DEADLINE)
        assert not alive, f"killed, and still there: {alive}"

    def pause(self) -> None:
        """SIGSTOP to the server and all its sessions."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # a session that has ended meanwhile
                process.suspend()

    def resume(self) -> None:
        """SIGCONT to them."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def stream_to(self, standby: "Node") -> None:
        """Make `standby` a copy of this one which follows it, and start it."""
        self.copy_to(standby, "-R")
        standby.start()

    def copy_to(self, other: "Node", *options: str) -> None:
        """Make `other` a base backup of this one."""
        address = self.conninfo(other)
        run(self.programs, "pg_basebackup", "-D", str(other.data), "-d", address, "-c", "fast", "-N", *options)

    def conninfo(self, other: "Node") -> str:
        """The address at which `other` copies and follows this one."""
        return f"host=127.0.0.1 port={self.port} user=postgres application_name={other.data.name}"

    def acknowledge_with_standby(self) -> None:
        """From now on a commit is answered only when a standby has it, too; return when one counts for that."""
        self.execute("alter system set synchronous_standby_names = 'ANY 1 (*)'")
        quorum = "select count(*) from pg_stat_replication where sync_state = 'quorum'"
        self._reload_until(quorum, "1", "no standby became synchronous")

    def acknowledge_alone(self) -> None:
        """From now on a commit waits for no standby."""
        self.execute("alter system reset synchronous_standby_names")
        self._reload_until("show synchronous_standby_names", "", "the configuration was not read again")

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run a statement; answers what psql prints."""
        return run(self.programs, "psql", "-d", self.dsn(database), "-XAtqc", statement)

    def _reload_until(self, question: str, answer: str, otherwise: str) -> None:
        self.execute("select pg_reload_conf()")
        deadline = time.monotonic() + DEADLINE
        while self.execute(question) != answer:
            assert time.monotonic() < deadline, otherwise

    def _processes(self) -> list[psutil.Process]:
        postmaster = self._postmaster()
        return [postmaster, *postmaster.children(recursive=True)] if postmaster else []

    def _postmaster(self) -> psutil.Process | None:
        try:
            process = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
            return process if Path(process.cwd()) == self.data else None
        except (OSError, psutil.Error):
            return None

    def _control(self, what: str, *options: str) -> None:
        run(self.programs, "pg_ctl", what, "-D", str(self.data), "-t", f"{DEADLINE:.0f}", *options)


def dsn_of_all(nodes: Sequence[Node], database: str = "postgres") -> str:
    """The address of a database with all hosts, as a service gets it."""
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    return f"postgresql://postgres@{hosts}/{database}?sslmode=disable"


def run(programs: Programs, program: str, *arguments: str) -> str:
    """Run one of PostgreSQL's programs to its end. Raises AssertionError with what it said when it fails."""
    user, group = programs.user or (None, None)
    with tempfile.TemporaryFile() as said:  # a pipe would stay open in the server that pg_ctl starts
        done = subprocess.run(
            [programs.folder / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd="/",
            user=user,
            group=group,
            extra_groups=[] if programs.user else None,
            timeout=2 * DEADLINE,
            check=False,
        )
        said.seek(0)
        output = said.read().decode(errors="replace").strip()
    assert done.returncode == 0, f"{program} {' '.join(arguments)}: {output}"
    return output


@contextmanager
def postgres_cluster(standbys: int = 1, disks: Sequence[Path] = ()) -> Iterator[list[Node]]:
    """A primary, and after it its standbys, which follow it asynchronously; gone afterwards. With `disks`, each has its
    data in one of these folders."""
    folder = Path(tempfile.mkdtemp(prefix="oms-test-cluster-"))
    programs = find_programs(folder, folder / "n0")
    for path in (folder, *disks):
        if programs.user:
            shutil.chown(path, *programs.user)
    places = disks or [folder] * (1 + standbys)
    nodes = [Node(programs, place / f"n{number}", free_port()) for number, place in enumerate(places)]
    primary, *others = nodes
    try:
        run(programs, "initdb", "-D", str(primary.data), "-U", "postgres", "-A", "trust", "-N")
        with (primary.data / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS)
        primary.start()
        for standby in others:
            primary.stream_to(standby)
        yield nodes
    finally:
        for node in nodes:
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)
