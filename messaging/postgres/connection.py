"""Connections to PostgreSQL: one that opens itself again after it broke, and the line between "not there" and
"refused"."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg

from messaging.ports.changes import StoreUnavailable

# Every hot statement is set-based with the same shape for any batch size, so planning it once is right; and it finds
# its rows by their keys, also when it was planned while the table was still empty.
SETTINGS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
    "application_name": "oms",
}
TIMEOUT = 10.0

# The database is away, restarting, full or refusing sessions: asking again later can succeed.
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InternalClientError,
)


@contextmanager
def unavailable_when_away() -> Iterator[None]:
    """Turn "the database is not there" into StoreUnavailable; what the database says of our statement passes
    through."""
    try:
        yield
    except _AWAY as error:
        raise StoreUnavailable(f"the database does not answer ({type(error).__name__})") from error
    except asyncpg.InterfaceError as error:
        # asyncpg says this for both a dead connection and an argument it cannot encode; the latter is also a
        # ValueError.
        if isinstance(error, ValueError):
            raise
        raise StoreUnavailable(f"the database does not answer ({error})") from error


class CommitConnection:
    """One connection for one task's statements, each its own transaction unless `transaction` holds them together. It
    is opened by the first statement and after any failure to answer, so a restarted database is found again without
    anyone's help."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Any = None

    async def fetch(self, statement: str, *arguments: object) -> list[Any]:
        """Run one statement in one transaction. Raises StoreUnavailable; the outcome is then unknown."""
        try:
            with unavailable_when_away():
                if self._connection is None:
                    self._connection = await asyncpg.connect(
                        self._dsn, server_settings=SETTINGS, command_timeout=TIMEOUT, timeout=TIMEOUT
                    )
                rows: list[Any] = await self._connection.fetch(statement, *arguments)
                return rows
        except (StoreUnavailable, asyncio.CancelledError):
            self.close()
            raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """What is fetched in here is one transaction: committed on leaving, taken back by whatever is raised in here.
        Raises StoreUnavailable; the outcome is then unknown."""
        await self.fetch("begin")
        try:
            yield
            await self.fetch("commit")
        except BaseException:
            if self._connection is not None:  # a connection that was let go has taken everything back
                await self.fetch("rollback")
            raise

    def close(self) -> None:
        """Let the connection go, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
