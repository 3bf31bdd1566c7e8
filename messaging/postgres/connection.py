"""A connection that reopens itself after it broke."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from messaging.ports.changes import StoreBusy, StoreUnavailable
from messaging.postgres.errors import as_store_errors
from messaging.postgres.session import NO_SETTINGS, connect

_GIVE_UP_WITHIN = 2.0


class CommitConnection:
    """One connection for the statements of one task. Each statement is a transaction, except within `transaction`.

    A statement opens the connection when there is none yet, after a failure to answer, and when it was closed while it
    was idle. So the connection recovers by itself after a restart of the database.
    """

    def __init__(self, dsn: str, settings: Mapping[str, str] = NO_SETTINGS) -> None:
        self._dsn = dsn
        self._settings = settings
        self._connection: Any = None
        self._in_transaction = False

    async def fetch(self, statement: str, *arguments: object) -> list[Any]:
        """Run one statement in one transaction. After StoreBusy and StoreUnfit nothing was done. After StoreUnavailable
        it is unknown whether the statement was done."""
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
        """Run the statements of the block as one transaction. It is committed at the end of the block, and rolled back
        by an exception. Raises the exceptions of `fetch`."""
        await self.fetch("begin")
        self._in_transaction = True
        try:
            yield
            await self.fetch("commit")
        except BaseException:
            if self._connection is not None:  # a closed connection has rolled back already
                await self.fetch("rollback")
            raise
        finally:
            self._in_transaction = False

    async def close(self) -> None:
        """Close the connection, if there is one. This cancels a running statement, and waits for that for at most two
        seconds, so that an abandoned statement is not executed later."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # then the connection is aborted
                await connection.close(timeout=_GIVE_UP_WITHIN)

    async def _open(self) -> Any:
        if self._connection is not None and self._connection.is_closed() and not self._in_transaction:
            self._connection = None  # nothing was sent over it
        if self._connection is None:
            if self._in_transaction:
                raise StoreUnavailable("the connection of the transaction broke")
            self._connection = await connect(self._dsn, settings=self._settings)
        return self._connection
