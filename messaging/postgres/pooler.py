"""Poolers between us and PostgreSQL. One that gives each transaction another session breaks what a session holds: its
settings, its prepared statements, a relay's locks. Statements of ours could even end up in another client's
transaction, so there is no working behind one."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from messaging.ports.changes import StoreUnavailable
from messaging.postgres.errors import as_store_errors

_SENTENCE = (
    "a pooler in transaction or statement mode stands before the database, and would mix our sessions up: "
    "use the database's own address, or a pooler with pool_mode = session"
)
_ROUNDS = 8
_PID = "select pg_backend_pid()"
# What a session says whose prepared statements are another's.
_NOT_OUR_SESSION = (
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
    asyncpg.ProtocolViolationError,
)


class PooledByTransaction(StoreUnavailable):
    """There is a pooler that shares sessions out by the transaction."""


async def refuse_transaction_pooling(connection: Any, open_another: Callable[[], Awaitable[Any]]) -> None:
    """Return when `connection` has a session of PostgreSQL for itself. Raises PooledByTransaction, StoreUnavailable.

    A process that is told at its login which backend it talks to, and finds itself there, has no pooler before it: a
    pooler makes up its own. Where there is one, two connections ask again and again for their backends. They must
    differ, and stay what they are.
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
