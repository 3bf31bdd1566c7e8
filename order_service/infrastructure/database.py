"""The order service's database: what ORDER_DATABASE_URL means, and its schema."""

from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from messaging import embedded_postgres

NAME = "orders"
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x6F6D_73


async def resolve(database_url: str, data_dir: Path) -> str:
    """A DSN to connect to; `embedded` starts the embedded PostgreSQL first."""
    if database_url != "embedded":
        return database_url
    return await embedded_postgres.open_database(data_dir, NAME)


async def migrate(dsn: str) -> None:
    """Bring the schema up to date. Safe to run from several processes at once: they take turns."""

    async def connect() -> Any:
        return await asyncpg.connect(dsn)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade)
            await connection.commit()
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
