"""What readiness asks of the database, over a session that nobody else uses."""

import asyncio
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog

from messaging.ports.changes import StoreUnavailable
from messaging.ports.store_health import HEALTHY, StoreHealth
from messaging.postgres.errors import as_store_errors
from messaging.postgres.session import connect

_WITHIN = 1.5
_LOOK_ANEW_AFTER = 10.0

_IS_WRITABLE = "select not (pg_is_in_recovery() or current_setting('transaction_read_only')::boolean)"
_REVISION = "select version_num from alembic_version"

log = structlog.get_logger("database")


@dataclass(frozen=True, slots=True)
class Revisions:
    """The schema revisions that this release knows, and the newest of them."""

    known: frozenset[str]
    newest: str

    def fit(self, found: str | None) -> bool:
        """A revision that we do not know is of a newer release, which keeps what we need: during a rolling upgrade the
        schema comes first."""
        return found is not None and (found == self.newest or found not in self.known)


class DatabaseProbe:
    """Asks again each time. The session is opened anew now and then, because a setting of the database, such as
    read-only, counts for new sessions only."""

    def __init__(self, dsn: str, revisions: Revisions) -> None:
        self._dsn = dsn
        self._revisions = revisions
        self._session: Any = None
        self._opened = 0.0
        self._said = HEALTHY

    async def __call__(self) -> StoreHealth:
        """Raises StoreUnavailable when the database does not answer. One call at a time."""
        try:
            await self._open()
            with as_store_errors():
                is_writable: bool = await self._session.fetchval(_IS_WRITABLE)
                health = StoreHealth(is_writable, self._revisions.fit(await self._revision()))
        except BaseException:
            self.close()
            raise
        if not health.is_writable:
            self.close()
        self._say(health)
        return health

    def close(self) -> None:
        """Let the session go, if there is one."""
        session, self._session = self._session, None
        if session is not None:
            session.terminate()

    async def _open(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._session is not None and not self._session.is_closed() and now - self._opened < _LOOK_ANEW_AFTER:
            return
        try:
            fresh = await connect(self._dsn, suffix="-health", within=_WITHIN, command_timeout=_WITHIN)
        except StoreUnavailable:
            # While the database lets nobody new in, those who are in may still write.
            if self._session is None or self._session.is_closed():
                raise
        else:
            self.close()
            self._session = fresh
        self._opened = now

    async def _revision(self) -> str | None:
        try:
            revision: str | None = await self._session.fetchval(_REVISION)
        except asyncpg.UndefinedTableError:
            return None
        return revision

    def _say(self, health: StoreHealth) -> None:
        if health != self._said:
            self._said = health
            if not health.is_writable:
                log.warning("not ready: the database is read-only")
            if not health.has_schema:
                log.warning("not ready: the schema is not that of this release; run `oms migrate`")
