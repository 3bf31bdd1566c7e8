"""The meaning of PostgreSQL's errors for the caller: one table by SQLSTATE."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto

import asyncpg
import structlog

from messaging.ports.changes import StoreBusy, StoreUnavailable, StoreUnfit

log = structlog.get_logger("database")


class DatabaseRefused(StoreUnavailable):
    """There is no working with this database, however often it is tried; the text says why, and what to do."""


class Meaning(Enum):
    """The right reaction to an error."""

    AWAY = auto()
    """The database cannot work now. The session is dropped, and a later attempt can succeed."""
    AGAIN = auto()
    """The transaction lost to others and stored nothing. The same may be tried again at once."""
    REFUSED = auto()
    """The database refuses the data. Only this write fails."""
    OURS = auto()
    """The statement does not fit the database: its schema, its permissions, or our code. An operator must act."""


# By SQLSTATE, or by its class, which is the first two characters. Other errors are raised unchanged, as REFUSED ones
# are.
MEANINGS = {
    "08": Meaning.AWAY,  # the connection broke, or a pooler closed it
    "25": Meaning.AWAY,  # a read-only database (25006), or a transaction that PostgreSQL ended for its age
    "26": Meaning.AWAY,  # the session lost its prepared statements
    "28": Meaning.AWAY,  # the role may not log in, or its password was changed
    "3D": Meaning.AWAY,  # the database was renamed or dropped
    "40003": Meaning.AWAY,  # it is unknown whether the statement was done
    "42P05": Meaning.AWAY,  # the session has prepared statements of another client
    "53": Meaning.AWAY,  # no connection, memory or disk space is left
    "55": Meaning.AWAY,  # the database takes no connections (55000), or a lock was not free in time (55P03)
    "57": Meaning.AWAY,  # it is stopping, starting or restarting, or the statement took too long (57014)
    "58": Meaning.AWAY,  # the disk fails
    "F0": Meaning.AWAY,  # its configuration cannot be read
    "HV": Meaning.AWAY,  # a foreign server, where a table is one's
    "XX": Meaning.AWAY,  # PostgreSQL itself fails, or a page cannot be read
    "40": Meaning.AGAIN,  # a serialization failure or a deadlock
    "72": Meaning.AGAIN,  # a snapshot that others have outlived
    "03": Meaning.OURS,
    "0A": Meaning.OURS,
    "0B": Meaning.OURS,
    "0L": Meaning.OURS,
    "0P": Meaning.OURS,  # there is no such role
    "24": Meaning.OURS,  # a cursor, a savepoint or a transaction is not as our code takes it to be
    "2B": Meaning.OURS,
    "2D": Meaning.OURS,
    "34": Meaning.OURS,
    "3B": Meaning.OURS,
    "3F": Meaning.OURS,  # there is no such schema
    "42": Meaning.OURS,  # there is no such table, column or function, or no permission for it
    "21": Meaning.REFUSED,
    "22": Meaning.REFUSED,  # a value that cannot be stored
    "23": Meaning.REFUSED,  # a constraint
    "44": Meaning.REFUSED,
    "54": Meaning.REFUSED,  # more than PostgreSQL can take
    "P0": Meaning.REFUSED,  # a trigger
}


def meaning_of(error: BaseException) -> Meaning | None:
    """The meaning of an error. None for an error that is not the database's."""
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        # The schema changed since the statement was planned. It says 0A000, but its plan is forgotten by now.
        return Meaning.AGAIN
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return MEANINGS.get(state, MEANINGS.get(state[:2]))
    # asyncpg raises InterfaceError for a dead connection and for an argument that it cannot encode. The latter error is
    # also a ValueError.
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return None
    away = (OSError, TimeoutError, asyncpg.InternalClientError, asyncpg.InterfaceError)
    return Meaning.AWAY if isinstance(error, away) else None


@contextmanager
def as_store_errors() -> Iterator[None]:
    """Raise StoreUnavailable, StoreBusy or StoreUnfit for errors that the data did not cause. Other exceptions pass
    through."""
    try:
        yield
    except StoreUnavailable:
        raise
    except Exception as error:
        name = type(error).__name__
        match meaning_of(error):
            case Meaning.AWAY:
                raise StoreUnavailable(f"the database does not answer ({name})") from error
            case Meaning.AGAIN:
                raise StoreBusy(f"others change the same at the same time ({name})") from error
            case Meaning.OURS:
                log.error(  # noqa: TRY400  the text says all that an operator can use
                    "the database does not fit this release; run `oms migrate`", error=f"{name}: {error}"
                )
                raise StoreUnfit(f"the database does not fit this release ({name})") from error
            case _:
                raise
