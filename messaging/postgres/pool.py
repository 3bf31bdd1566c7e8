"""Pools of sessions for reads, rare writes and house-keeping. Commits have connections of their own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from messaging.engine.retry import retry_when_busy
from messaging.postgres.durability import Session
from messaging.postgres.errors import Meaning, as_store_errors, meaning_of
from messaging.postgres.session import NO_SETTINGS, connect

SIZE = 4
WAIT = 5.0
"""Seconds to wait for a session. Then StoreUnavailable is raised."""


async def _leave_as_it_is(_connection: Any) -> None:
    """Do no reset: our code leaves no state in a session, and asyncpg's reset costs a round trip for each use."""


class Pool:
    """At most `SIZE` sessions. Every method raises StoreUnavailable, also when all sessions are busy for too long."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @property
    def busy(self) -> int:
        """How many sessions are in use."""
        return int(self._pool.get_size() - self._pool.get_idle_size())

    async def fetch(self, statement: str, *arguments: object) -> list[Any]:
        """The rows of one statement, which is a transaction."""

        async def fetch() -> list[Any]:
            async with self.session() as session:
                rows: list[Any] = await session.fetch(statement, *arguments)
                return rows

        return await retry_when_busy(fetch)

    async def fetchrow(self, statement: str, *arguments: object) -> Any:
        """The first row, or None."""
        rows = await self.fetch(statement, *arguments)
        return rows[0] if rows else None

    async def fetchval(self, statement: str, *arguments: object) -> Any:
        """The first column of the first row, or None."""
        rows = await self.fetch(statement, *arguments)
        return rows[0][0] if rows else None

    async def execute(self, statement: str, *arguments: object) -> None:
        """Run a statement that has no rows."""
        await self.fetch(statement, *arguments)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        """A session for this block. After an error that makes it useless, the session is closed."""
        with as_store_errors():
            async with self._pool.acquire(timeout=WAIT) as session:
                try:
                    yield session
                except asyncpg.PostgresError as error:
                    if meaning_of(error) is Meaning.AWAY:
                        session.terminate()
                    raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A session whose statements are one transaction. An exception rolls it back."""
        async with self.session() as session, session.transaction():
            yield session


@dataclass(frozen=True, slots=True)
class Pools:
    """The pools of one database. They share no sessions, so many reading clients take none from consumers and
    sweeps."""

    clients: Pool
    engine: Pool


@asynccontextmanager
async def open_pool(dsn: str, settings: Mapping[str, str] = NO_SETTINGS) -> AsyncIterator[Pool]:
    """A pool. It connects at its first use, so a service can start while the database is away. `settings` override
    those of every session."""

    async def session(*_: object, **__: object) -> Any:
        return await connect(dsn, settings=settings)

    pool = await asyncpg.create_pool(
        min_size=0, max_size=SIZE, connect=session, connection_class=Session, reset=_leave_as_it_is
    )
    try:
        yield Pool(pool)
    finally:
        pool.terminate()


@asynccontextmanager
async def open_pools(dsn: str) -> AsyncIterator[Pools]:
    """The pools of a service."""
    async with AsyncExitStack() as stack:
        yield Pools(*[await stack.enter_async_context(open_pool(dsn)) for _ in range(2)])
