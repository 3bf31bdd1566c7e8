"""A service's database: resolving its *_DATABASE_URL, and migrating its schema."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from messaging.ports.changes import StoreUnavailable
from messaging.postgres.errors import DatabaseRefused
from messaging.postgres.pinned import MIGRATING
from messaging.postgres.probe import Revisions
from messaging.postgres.session import connect
from messaging.runtime import embedded_postgres

# A migration that waits for a table also blocks all later statements on it. So it gives up, and is started again.
_GIVING_UP = {"lock_timeout": "10s"}
_MIGRATION_LOCK = 0x6F6D_73
_ENVIRONMENT = Path(__file__).parent / "alembic"


async def resolve(database_url: str, data_dir: Path, name: str, *, create: bool = True) -> str:
    """The DSN of a database URL. `embedded` starts the embedded PostgreSQL first, and creates the database `name` if
    `create` is true. Raises DatabaseRefused, EmbeddedPostgresUnavailable."""
    if database_url == "embedded":
        return await embedded_postgres.open_database(data_dir, name, create=create)
    try:
        connection = await connect(database_url)
    except DatabaseRefused:
        raise
    except StoreUnavailable:  # a service may start while its database is away; every later session checks for a pooler
        return database_url
    connection.terminate()
    return database_url


def revisions_in(migrations: Path) -> Revisions:
    """The revisions of a folder of Alembic migrations."""
    scripts = ScriptDirectory(str(_ENVIRONMENT), version_locations=[str(migrations)])
    newest = scripts.get_current_head()
    if newest is None:
        raise ValueError(f"there are no migrations in {migrations}")
    return Revisions(frozenset(script.revision for script in scripts.walk_revisions()), newest)


async def migrate(dsn: str, migrations: Path) -> None:
    """Bring the schema up to date with a folder of Alembic revisions. Several processes may do this at once: they take
    turns."""

    async def session() -> Any:
        return await connect(dsn, suffix="-migrate", settings={**MIGRATING, **_GIVING_UP}, command_timeout=None)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=session, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade, migrations)
            await connection.commit()
    finally:
        await engine.dispose()


def alembic_config(connection: Connection, migrations: Path) -> Config:
    """The configuration with which Alembic runs a folder of revisions over a connection."""
    config = Config()
    # Alembic's options are ConfigParser's, where a percent sign is special.
    config.set_main_option("script_location", str(_ENVIRONMENT).replace("%", "%%"))
    config.set_main_option("version_locations", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection, migrations: Path) -> None:
    connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    command.upgrade(alembic_config(connection, migrations), "head")
