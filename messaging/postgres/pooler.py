"""Detecting a pooler between us and PostgreSQL.

A pooler that gives each transaction another session breaks the state of sessions: settings, prepared statements, a
relay's locks. Our statements could even run in another client's transaction. So this system refuses such a pooler.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from messaging.ports.changes import StoreUnavailable
from messaging.postgres.errors import DatabaseRefused, as_store_errors

_SENTENCE = (
    "a pooler in transaction or statement mode stands before the database, and would mix our sessions up: "
    "use the database's own address, or a pooler with pool_mode = session"
)
_ROUNDS = 8
_PID = "select pg_backend_pid()"
# The errors of a session that has the prepared statements of another client.
_NOT_OUR_SESSION = (
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
    asyncpg.ProtocolViolationError,
)


class PooledByTransaction(DatabaseRefused):
    """A pooler in front of the database assigns sessions by transaction."""


async def refuse_transaction_pooling(connection: Any, open_another: Callable[[], Awaitable[Any]]) -> None:
    """Return when `connection` has a session of PostgreSQL for itself. Raises PooledByTransaction, StoreUnavailable.

    PostgreSQL sends the id of its backend at the login. A pooler sends another id. So if the backend has that id, there
    is no pooler. Otherwise two connections ask several times for the ids of their backends. The two ids must differ and
    must not change.
    """
    try:
        with as_store_errors():
            if await _backend(connection) == connection.get_server_pid():
                return
            another = await open_another()
            try:
                mine, others = set[int](), set[int]()
                for _ in range(_ROUNDS):
                    mine.add(await _backend(connection))
                    others.add(await _backend(another))
            finally:
                another.terminate()
    except StoreUnavailable as error:
        if isinstance(error.__cause__, _NOT_OUR_SESSION):
            raise PooledByTransaction(_SENTENCE) from error
        raise
    if len(mine) > 1 or len(others) > 1 or mine & others:
        raise PooledByTransaction(_SENTENCE)


async def _backend(connection: Any) -> int:
    pid: int = await connection.fetchval(_PID)
    return pid
