"""Answers only what every synchronous copy has.

PostgreSQL shows a commit to others after its standbys have it. But a commit can also be visible without them: after a
restart in the middle of the wait, and after a wait that was cancelled. If the primary is lost then, the commit is, too.
So whoever reads a commit and tells somebody of it waits for the standbys first.
"""

from typing import Any, Final

import asyncpg

from messaging.ports.changes import StoreUnavailable

SYNCHRONOUS: Final = "current_setting('synchronous_standby_names') <> ''"
"""The SQL condition that there are synchronous standbys, which commits wait for."""

AWAIT_STANDBYS: Final = f"select pg_logical_emit_message(true, 'oms', '') where {SYNCHRONOUS}"
"""Waits until the synchronous standbys have every commit that is visible by now. It writes a small record to the log of
PostgreSQL, and its own commit waits like any other. Without synchronous standbys it does nothing."""

_WAIT = "SyncRepWaitForLSN"  # the routine in PostgreSQL that warns when its wait is cancelled


class Session(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A session that raises StoreUnavailable for a commit whose wait for the standbys was cancelled. PostgreSQL calls
    such a commit a success, with a warning."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._only_local = False

    def _process_log_message(self, fields: Any, last_query: Any) -> None:
        """asyncpg calls this for each warning of a statement, before the statement's answer. A listener would be called
        later, and a pool objects to listeners."""
        super()._process_log_message(fields, last_query)
        if fields.get("R") == _WAIT:
            self._only_local = True

    async def fetch(self, *args: Any, **kwargs: Any) -> Any:
        """See asyncpg.Connection."""
        return self._durable(await super().fetch(*args, **kwargs))

    async def fetchrow(self, *args: Any, **kwargs: Any) -> Any:
        """See asyncpg.Connection."""
        return self._durable(await super().fetchrow(*args, **kwargs))

    async def fetchval(self, *args: Any, **kwargs: Any) -> Any:
        """See asyncpg.Connection."""
        return self._durable(await super().fetchval(*args, **kwargs))

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        """See asyncpg.Connection. Transactions commit with it."""
        return self._durable(await super().execute(*args, **kwargs))

    def _durable(self, answer: Any) -> Any:
        if self._only_local:
            self._only_local = False
            raise StoreUnavailable("the commit is on the primary, but a standby may lack it")
        return answer
