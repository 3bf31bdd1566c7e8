"""A connection that opens itself again after it broke."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from messaging.ports.changes import StoreBusy, StoreUnavailable
from messaging.postgres.errors import as_store_errors
from messaging.postgres.session import connect

_GIVE_UP_WITHIN = 2.0


class CommitConnection:
    """One connection for one task's statements, each its own transaction unless `transaction` holds them together. It
    is opened by the first statement, after any failure to answer, and when it was closed while it lay idle. So a
    restarted database is found again without anyone's help."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Any = None
        self._in_transaction = False

    async def fetch(self, statement: str, *arguments: object) -> list[Any]:
        """Run one statement in one transaction. Raises StoreBusy and StoreUnfit when nothing was done, and
        StoreUnavailable, whose outcome is unknown."""
        try:
            with as_store_errors():
                connection = await self._open()
                rows: list[Any] = await connection.fetch(statement, *arguments)
                return rows
        except (StoreUnavailable, asyncio.CancelledError) as error:
            if not isinstance(error, StoreBusy):
                await self.close()
            raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """What is fetched in here is one transaction: committed on leaving, taken back by whatever is raised in here.
        Raises as `fetch`."""
        await self.fetch("begin")
        self._in_transaction = True
        try:
            yield
            await self.fetch("commit")
        except BaseException:
            if self._connection is not None:  # a connection that was let go has taken everything back
                await self.fetch("rollback")
            raise
        finally:
            self._in_transaction = False

    async def close(self) -> None:
        """Let the connection go, if there is one. A statement that is under way is cancelled, and this waits (for at
        most two seconds) until it is: what was given up is not done later."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # it is aborted then
                await connection.close(timeout=_GIVE_UP_WITHIN)

    async def _open(self) -> Any:
        if self._connection is not None and self._connection.is_closed() and not self._in_transaction:
            self._connection = None  # nothing was sent over it
        if self._connection is None:
            if self._in_transaction:
                raise StoreUnavailable("the connection of the transaction broke")
            self._connection = await connect(self._dsn)
        return self._connection
