"""A service's database: resolving its *_DATABASE_URL, and the revisions of its schema."""

from collections.abc import Sequence
from pathlib import Path

from messaging.ports.changes import StoreUnavailable
from messaging.postgres.errors import DatabaseRefused, as_store_errors
from messaging.postgres.probe import Revisions, revision_of
from messaging.postgres.rights import grants, prefix_of
from messaging.postgres.session import connect
from messaging.runtime import embedded_postgres


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


async def bring_up_to_date(dsn: str, migrations: Path) -> bool:
    """Migrate the schema, unless it fits already: Alembic and SQLAlchemy take as long to import as all the rest of a
    start. Returns False for the schema of a newer release, which is left as it is. Raises StoreUnavailable."""
    revisions = revisions_in(migrations)
    session = await connect(dsn)
    try:
        with as_store_errors():
            found = await revision_of(session)
    finally:
        session.terminate()
    if revisions.fit(found):
        return found == revisions.newest
    from messaging.runtime.migrations import migrate

    await migrate(dsn, migrations)
    return True


async def grant_rights(dsn: str, tables: Sequence[str]) -> str | None:
    """Grant the other roles what this release needs, if we are a migrator that has some. Returns the prefix of the
    roles. Raises StoreUnavailable."""
    session = await connect(dsn)
    try:
        with as_store_errors():
            prefix = prefix_of(await session.fetchval("select current_user"))
            if prefix is not None:
                await session.execute(grants(prefix, tables))
            return prefix
    finally:
        session.terminate()


def revisions_in(migrations: Path) -> Revisions:
    """The revisions of a folder of Alembic migrations. Each file is named by its revision (`0002_prices.py`), and they
    follow one another in the order of their names."""
    names = sorted(path.stem.partition("_")[0] for path in migrations.glob("[0-9]*_*.py"))
    if not names:
        raise ValueError(f"there are no migrations in {migrations}")
    return Revisions(frozenset(names), names[-1])
