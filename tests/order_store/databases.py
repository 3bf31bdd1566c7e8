"""Databases without a schema, and with one of an earlier day."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from messaging.runtime.migrations import alembic_config
from order_service.infrastructure.database import MIGRATIONS
from tests.real_parts.postgres import PostgresServer


@contextmanager
def empty_database(server: PostgresServer) -> Iterator[str]:
    """The DSN of a database in which nothing is."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    server.execute(f"create database {name}")
    try:
        yield server.dsn_of(name)
    finally:
        server.execute(f"drop database {name} with (force)")


@contextmanager
def database_of_revision(server: PostgresServer, revision: str, migrations: Path = MIGRATIONS) -> Iterator[str]:
    """The DSN of an empty database whose schema is that of a revision."""
    with empty_database(server) as dsn:
        asyncio.run(_upgrade(dsn, revision, migrations))
        yield dsn


async def _upgrade(dsn: str, revision: str, migrations: Path) -> None:
    async def connect() -> Any:
        return await asyncpg.connect(dsn)

    def upgrade(connection: Connection) -> None:
        command.upgrade(alembic_config(connection, migrations), revision)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(upgrade)
            await connection.commit()
    finally:
        await engine.dispose()
