"""The readiness check of the database. It has a session of its own."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import structlog

from messaging.ports.changes import StoreUnavailable
from messaging.ports.store_health import HEALTHY, StoreHealth
from messaging.postgres.errors import as_store_errors
from messaging.postgres.rights import Rights
from messaging.postgres.session import NotWritable, connect

_WITHIN = 1.5
_LOOK_ANEW_AFTER = 10.0

_IS_WRITABLE = "select not (pg_is_in_recovery() or current_setting('transaction_read_only')::boolean)"
_REVISION = "select version_num from alembic_version"
# A table that is not there has no privileges: they are null. Whoever may write some columns has what we need of it.
_HAS_RIGHTS = """
    select coalesce(bool_and(coalesce(
        case privilege when 'delete' then has_table_privilege(to_regclass(name), privilege)
                       else has_any_column_privilege(to_regclass(name), privilege) end,
        false
    )), true)
    from unnest($1::text[], $2::text[]) as needed(name, privilege)
"""

log = structlog.get_logger("database")


@dataclass(frozen=True, slots=True)
class Revisions:
    """The schema revisions that this release knows, and the newest one."""

    known: frozenset[str]
    newest: str

    def fit(self, found: str | None) -> bool:
        """True for the newest revision and for an unknown one. An unknown revision is that of a newer release, whose
        schema still has what we need. A rolling upgrade begins with the schema."""
        return found is not None and (found == self.newest or found not in self.known)


async def revision_of(session: Any) -> str | None:
    """The revision of the schema, or None where there is none."""
    try:
        revision: str | None = await session.fetchval(_REVISION)
    except asyncpg.UndefinedTableError:
        return None
    return revision


class DatabaseProbe:
    """Asks the database at each call. The session is replaced every ten seconds, because a setting of the database,
    such as read-only, affects new sessions only."""

    def __init__(self, dsn: str, revisions: Revisions, needed: Rights) -> None:
        self._dsn = dsn
        self._revisions = revisions
        self._needed = [(table, each.split()[0]) for table, privileges in needed.items() for each in privileges]
        self._session: Any = None
        self._opened = 0.0
        self._said = HEALTHY

    async def __call__(self) -> StoreHealth:
        """The health of the database. Raises StoreUnavailable when it does not answer. For one call at a time."""
        try:
            await self._open()
            with as_store_errors():
                is_writable: bool = await self._session.fetchval(_IS_WRITABLE)
                health = StoreHealth(is_writable, await self._has_schema())
        except NotWritable:
            health = replace(self._said, is_writable=False)  # it lets nobody in to ask about the schema
        except BaseException:
            self.close()
            raise
        if not health.is_writable:
            self.close()
        self._say(health)
        return health

    def close(self) -> None:
        """Close the session, if there is one."""
        session, self._session = self._session, None
        if session is not None:
            session.terminate()

    async def _open(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._session is not None and not self._session.is_closed() and now - self._opened < _LOOK_ANEW_AFTER:
            return
        try:
            fresh = await connect(self._dsn, suffix="-health", within=_WITHIN, command_timeout=_WITHIN)
        except NotWritable:
            raise
        except StoreUnavailable:
            # While the database accepts no new sessions, the existing ones may still write.
            if self._session is None or self._session.is_closed():
                raise
        else:
            self.close()
            self._session = fresh
        self._opened = now

    async def _has_schema(self) -> bool:
        """True where the schema is that of this release, is whole, and is ours to use."""
        if not self._revisions.fit(await revision_of(self._session)):
            return False
        tables, privileges = [table for table, _ in self._needed], [privilege for _, privilege in self._needed]
        has_rights: bool = await self._session.fetchval(_HAS_RIGHTS, tables, privileges)
        return has_rights

    def _say(self, health: StoreHealth) -> None:
        if health != self._said:
            self._said = health
            if not health.is_writable:
                log.warning("not ready: the database is read-only")
            if not health.has_schema:
                log.warning(
                    "not ready: the database does not fit this release; run `oms migrate`, or grant what is missing"
                )
