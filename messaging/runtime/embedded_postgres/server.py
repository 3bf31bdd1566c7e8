"""The server of a folder of data. It is found if it runs, and started otherwise."""

import asyncio
import os
import re
import signal
import socket
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import asyncpg

from messaging.runtime.embedded_postgres.programs import EmbeddedPostgresUnavailable, Launched, Programs

_STARTS_WITHIN = 10.0
_RECOVERS_WITHIN = 60.0
_ANSWERS_WITHIN = 2.0
_STOPS_WITHIN = 5.0
_LONGEST_PARENT = 64
_SHORT = "oms-postgres-"
_DATA_FOLDER = "select textsend(current_setting('data_directory'))"  # its bytes, which need not be UTF-8
# Errors that pass in a moment, when the last processes of a killed server have ended.
_PASSES = re.compile("still in use|already exists|already in use")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


@dataclass(frozen=True, slots=True)
class Server:
    """A server, as its postmaster.pid describes it."""

    pid: int
    socket_folder: str
    port: int

    def dsn(self, database: str) -> str:
        """The DSN of one of its databases. It has every option, so that PG* variables cannot change it. The password is
        not used by the server, but keeps clients from reading password files."""
        options = urlencode({"host": self.socket_folder, "port": self.port, "sslmode": "disable"}, safe="/")
        return f"postgresql://postgres:trusted@/{database}?{options}"


async def find_or_start(data: Path, programs: Programs) -> Server:
    """The server of these data, once it accepts connections. Only one process may call this at a time. A server that is
    starting or stopping is waited for. Raises EmbeddedPostgresUnavailable within ten seconds, or within a minute while
    the server recovers from a crash."""
    start = _Start(data, programs)
    try:
        async with asyncio.timeout(_STARTS_WITHIN) as patience:
            while (server := await start.attempt()) is None:
                if start.is_under_way:
                    patience.reschedule(start.began + _RECOVERS_WITHIN)
                await asyncio.sleep(0.02)
            return server
    except TimeoutError:
        raise start.failed() from None
    finally:
        start.leave()


class _Start:
    """The attempts to find or start the server of these data."""

    def __init__(self, data: Path, programs: Programs) -> None:
        self._data = data
        self._programs = programs
        self._postgres: Launched | None = None
        self._socket_folder = ""
        self.is_under_way = False
        """True when the server says that it is starting or stopping, which may take long after a crash."""
        self.began = asyncio.get_running_loop().time()

    async def attempt(self) -> Server | None:
        """The server, or None when it may be ready in a moment. Raises EmbeddedPostgresUnavailable."""
        server = _written_down(self._data)
        if server is not None and _is_postmaster(server.pid, self._data):
            try:
                return server if await _takes_connections(server, self._data) else None
            except asyncpg.CannotConnectNowError:
                self.is_under_way = True
            except asyncpg.PostgresError as error:
                raise self.failed(str(error)) from None
        elif self._postgres is None:
            _forget(self._data)
            self._socket_folder = self._socket_folder or _socket_folder(self._data, self._programs)
            arguments = ("-D", str(self._data), "-h", "", "-p", "5432", "-k", self._socket_folder)
            self._postgres = self._programs.launch("postgres", *arguments)
        elif self._postgres.has_ended:
            if not _PASSES.search(self._postgres.last_words()):
                raise self.failed()
            self._postgres = None
            await asyncio.sleep(0.2)
        return None

    def failed(self, why: str = "") -> EmbeddedPostgresUnavailable:
        """The exception with the reason, as far as it is known."""
        words = self._postgres.last_words() if self._postgres else ""
        why = why or ("it recovers from a crash, and goes on with that" if self.is_under_way else words)
        return EmbeddedPostgresUnavailable(
            f"the embedded PostgreSQL in {self._data} does not start: {why or 'it does not answer'}",
            f"its log is {self._programs.log}; mend that and start again, set DATA_DIR to another folder",
        )

    def leave(self) -> None:
        """End a server that was started without success."""
        in_vain = self._postgres is not None and _written_down(self._data) is None and not self.is_under_way
        if self._postgres is not None and in_vain and not self._postgres.has_ended:
            self._postgres.process.terminate()
        if in_vain or (self._postgres is not None and self._postgres.has_ended):
            _remove_socket_folder(self._socket_folder)


def stop(data: Path) -> None:
    """Stop the server of these data, if one runs. Committed data stay."""
    server = _written_down(data)
    if server is None or not _is_postmaster(server.pid, data):
        return
    os.kill(server.pid, signal.SIGINT)
    give_up = time.monotonic() + _STOPS_WITHIN
    while _is_postmaster(server.pid, data) and time.monotonic() < give_up:
        time.sleep(0.02)
    _remove_socket_folder(server.socket_folder)


def _remove_socket_folder(folder: str) -> None:
    """Remove a temporary folder of a socket, unless a server that still runs uses it."""
    if Path(folder).name.startswith(_SHORT):
        with suppress(OSError):
            Path(folder).rmdir()


def _written_down(data: Path) -> Server | None:
    """The server in postmaster.pid, or None while that is missing or incomplete."""
    try:
        lines = os.fsdecode((data / "postmaster.pid").read_bytes()).splitlines()
        pid, _folder, _since, port, socket_folder, *_ = lines
        return Server(int(pid), socket_folder, int(port))
    except (OSError, ValueError):
        return None


def _is_postmaster(pid: int, data: Path) -> bool:
    """True when this process is the server of these data. After a crash another process may have its id."""
    import psutil  # it comes with the wheel

    try:
        process = psutil.Process(pid)
        if not process.name().startswith("postgres") or process.uids().effective != data.stat().st_uid:
            return False
        return Path(process.cwd()) == data
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _forget(data: Path) -> None:
    """Remove the files of a killed server. PostgreSQL could take another process with the same id for that server."""
    for name in ("postmaster.pid", ".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
        (data / name).unlink(missing_ok=True)


async def _takes_connections(server: Server, data: Path) -> bool:
    try:
        connection = await asyncpg.connect(server.dsn("postgres"), timeout=_ANSWERS_WITHIN)
    except (OSError, TimeoutError):
        return False
    except asyncpg.TooManyConnectionsError:
        return True
    try:
        folder: bytes = await connection.fetchval(_DATA_FOLDER, timeout=_ANSWERS_WITHIN)
        return Path(os.fsdecode(folder)).samefile(data)
    finally:
        await connection.close(timeout=_ANSWERS_WITHIN)


def _socket_folder(data: Path, programs: Programs) -> str:
    """The folder of the socket: the folder of the data if its path is plain and short enough, or else a temporary
    one."""
    if _PLAIN_PATH.fullmatch(str(data)) and _can_hold_sockets(data):
        return str(data)
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108  the folder in it is new, and ours alone
        if _PLAIN_PATH.fullmatch(parent) and len(parent) < _LONGEST_PARENT:
            folder = tempfile.mkdtemp(prefix=_SHORT, dir=parent)
            if programs.user:
                os.chown(folder, *programs.user)
            return folder
    raise EmbeddedPostgresUnavailable(f"there is no folder for the socket of {data}", "set TMPDIR to a short one")


def _can_hold_sockets(folder: Path) -> bool:
    probe = folder / ".s.PGSQL.test"
    with socket.socket(socket.AF_UNIX) as test:
        try:
            test.bind(str(probe))
        except OSError:
            return False
        probe.unlink()
    return True
