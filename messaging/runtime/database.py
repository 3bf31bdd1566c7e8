"""A service's database: resolving its *_DATABASE_URL, and the revisions of its schema."""

from pathlib import Path

from messaging.ports.changes import StoreUnavailable
from messaging.postgres.errors import DatabaseRefused
from messaging.postgres.probe import Revisions
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


def revisions_in(migrations: Path) -> Revisions:
    """The revisions of a folder of Alembic migrations. Each file is named by its revision (`0002_prices.py`), and they
    follow one another in the order of their names."""
    names = sorted(path.stem.partition("_")[0] for path in migrations.glob("[0-9]*_*.py"))
    if not names:
        raise ValueError(f"there are no migrations in {migrations}")
    return Revisions(frozenset(names), names[-1])
