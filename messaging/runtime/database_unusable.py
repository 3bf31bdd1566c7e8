"""Errors of a service's database, as a sentence for the user of a command."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from messaging.ports.changes import StoreOverloaded, StoreUnavailable, StoreUnfit
from messaging.postgres.errors import DatabaseRefused
from messaging.postgres.session import NotWritable
from messaging.runtime.service import Service

_UNUSABLE = (
    OSError,
    StoreUnavailable,
    StoreOverloaded,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)


class DatabaseUnusable(Exception):
    """A service's database cannot be used. The text is a sentence that says why, and what to do."""


@contextmanager
def as_database_unusable(service: Service) -> Iterator[None]:
    """Raise DatabaseUnusable for every error of the database. Its text never contains the password."""
    try:
        yield
    except (BrokenPipeError, DatabaseRefused):  # a reader that has gone, and an error that has its own sentence
        raise
    except _UNUSABLE as error:
        raise DatabaseUnusable(_sentence(service.name, error)) from error


def _sentence(name: str, error: Exception) -> str:
    variable = f"{name.upper()}_DATABASE_URL"
    cause = error
    while isinstance(cause.__cause__, Exception) and not isinstance(cause, NotWritable):
        cause = cause.__cause__  # our errors and SQLAlchemy's wrap the error of the database
    match error, cause:
        case StoreUnfit(), asyncpg.InsufficientPrivilegeError():
            why = " ".join(str(cause).split())
        case (StoreUnfit(), _) | (_, asyncpg.UndefinedTableError() | asyncpg.UndefinedColumnError()):
            return f"{variable} leads to a database without the tables of this release: `oms migrate {name}` makes them"
        case _, NotWritable():
            return f"the database of {variable} takes no writes: it is a standby, or read-only"
        case _, asyncpg.LockNotAvailableError() | asyncpg.QueryCanceledError():
            return (
                f"the database of {variable} is held up by somebody else's transaction: find it in pg_stat_activity, "
                "or try again later"
            )
        case _, asyncpg.PostgresError():
            why = " ".join(str(cause).split())
        case _, ValueError():  # its text may contain a part of the address
            why = "its address or options cannot be read"
        case _, TimeoutError():
            why = "it does not answer in time"
        case _:
            why = " ".join((getattr(cause, "strerror", None) or str(cause) or type(cause).__name__).split())
    return f"the database of {variable} cannot be used: {why}; is the address right, and does it run?"
