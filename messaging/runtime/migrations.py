"""Migrating the schema of a service's database. This module is slow to import."""

import json
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from messaging.ports.audit import WHO
from messaging.ports.changes import StoreUnavailable
from messaging.postgres.errors import DatabaseRefused
from messaging.postgres.pinned import MIGRATING
from messaging.postgres.session import connect

# A migration that waits for a table also blocks all later statements on it. So it gives up, and is started again.
_GIVING_UP = {"lock_timeout": "10s"}
_MIGRATION_LOCK = 0x6F6D_73
_ENVIRONMENT = Path(__file__).parent / "alembic"


async def migrate(dsn: str, migrations: Path) -> None:
    """Bring the schema up to date with a folder of Alembic revisions. Several processes may do this at once: they take
    turns. Raises StoreUnavailable for whatever the database answers instead, and DatabaseRefused for revisions that
    cannot be followed."""

    async def session() -> Any:
        return await connect(dsn, suffix="-migrate", settings={**MIGRATING, **_GIVING_UP}, command_timeout=None)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=session, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade, migrations)
            await connection.commit()
    except DBAPIError as error:
        raise StoreUnavailable("the schema was not migrated") from error
    except CommandError as error:
        why = " ".join(str(error).split())
        raise DatabaseRefused(f"the schema cannot be migrated: {why}; look at the table alembic_version") from error
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
    before = _revision(connection)
    command.upgrade(alembic_config(connection, migrations), "head")
    after = _revision(connection)
    if after != before:
        _audit(connection, {"from": before or "nothing", "to": after or "nothing"})


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _audit(connection: Connection, detail: dict[str, str]) -> None:
    if connection.scalar(text("select to_regclass('audit')")) is None:  # migrations that have not come so far
        return
    connection.execute(
        text(
            "insert into audit (who, action, outcome, detail) "
            "values (:who, 'schema.migrate', 'done', cast(:detail as json))"
        ),
        {"who": WHO.get(), "detail": json.dumps(detail)},
    )
