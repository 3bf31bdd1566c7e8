"""Using the embedded PostgreSQL. The first process starts it, and the last one stops it."""

import asyncio
import atexit
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import asyncpg

from messaging.ports.changes import StoreUnavailable
from messaging.postgres.pinned import MIGRATING
from messaging.postgres.session import connect
from messaging.runtime.embedded_postgres import server
from messaging.runtime.embedded_postgres.data_folder import is_unfinished, prepare
from messaging.runtime.embedded_postgres.programs import EmbeddedPostgresUnavailable, find_programs
from messaging.runtime.file_lock import lock

_ANSWERS_WITHIN = 5.0
_TURN_COMES_WITHIN = 10.0
_used: dict[Path, IO[bytes]] = {}
"""By folder: a file that this process holds with a shared lock until it ends. If the process is killed, the system
releases the lock."""


async def open_database(data_dir: Path, name: str, *, create: bool = True) -> str:
    """Start or find the server with its data in `data_dir`/postgres, and return the DSN of the database `name`.

    Missing data and a missing database are created, unless `create` is false. This takes a second or two the first
    time. Raises EmbeddedPostgresUnavailable within ten seconds, unless PostgreSQL is still at work.
    """
    try:
        folder = data_dir.expanduser().resolve()
        data = folder / "postgres"
        if not create and (is_unfinished(data) or not (data / "PG_VERSION").exists()):
            raise _no_database(data)
        folder.mkdir(parents=True, exist_ok=True)
        programs = find_programs(folder, data)
        async with _turn(folder):
            await prepare(data, programs)
            running = await server.find_or_start(data, programs)
            if folder not in _used:
                _used[folder] = _users(folder)
                lock(_used[folder], shared=True)
            if not await _is_there(running.dsn("postgres"), name, create=create):
                raise _no_database(data)
    except (OSError, RuntimeError) as error:  # RuntimeError: an unknown home, or a link to itself
        raise EmbeddedPostgresUnavailable(
            f"the embedded PostgreSQL cannot keep its data in {data_dir}: {getattr(error, 'strerror', None) or error}",
            "set DATA_DIR to a folder that you can write to",
        ) from None
    except (asyncpg.PostgresError, StoreUnavailable) as error:
        raise EmbeddedPostgresUnavailable(
            f"the embedded PostgreSQL does not give us the database {name}: {error}", f"see {programs.log}"
        ) from None
    return running.dsn(name)


async def _is_there(dsn: str, name: str, *, create: bool) -> bool:
    connection = await connect(dsn, settings=MIGRATING, command_timeout=None)
    try:
        is_there = bool(await connection.fetchval("select count(*) from pg_database where datname = $1", name))
        if not is_there and create:
            await connection.execute(f'create database "{name}"')
        return is_there or create
    finally:
        await connection.close(timeout=_ANSWERS_WITHIN)


def _no_database(data: Path) -> EmbeddedPostgresUnavailable:
    return EmbeddedPostgresUnavailable(
        f"there is no database in {data} yet",
        "start the services with `oms up`, set DATA_DIR to where they have theirs",
    )


@asynccontextmanager
async def _turn(folder: Path) -> AsyncIterator[None]:
    """Be the only process that starts or stops the server."""
    with (folder / "postgres.lock").open("ab") as turn:
        give_up = time.monotonic() + _TURN_COMES_WITHIN
        while not lock(turn):
            if time.monotonic() > give_up:
                raise EmbeddedPostgresUnavailable(
                    f"another process has been starting the embedded PostgreSQL in {folder} for "
                    f"{_TURN_COMES_WITHIN:.0f} s",
                    "wait for it or end it",
                )
            await asyncio.sleep(0.05)
        yield


def _users(folder: Path) -> IO[bytes]:
    return (folder / "postgres.users").open("ab")


@atexit.register
def _leave() -> None:
    """Stop every server that no other process uses."""
    for folder, held in _used.items():
        with suppress(OSError), (folder / "postgres.lock").open("ab") as turn:
            give_up = time.monotonic() + 1
            while not lock(turn) and time.monotonic() < give_up:
                time.sleep(0.02)
            held.close()
            with _users(folder) as users:
                if lock(users):
                    server.stop(folder / "postgres")
