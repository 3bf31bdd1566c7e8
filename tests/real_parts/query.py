"""One query on a connection of its own."""

from typing import Any

import asyncpg


async def rows(dsn: str, query: str, *arguments: object, connected_within: float = 60.0) -> list[Any]:
    """What the query finds, within a minute."""
    connection = await asyncpg.connect(dsn, timeout=connected_within)
    try:
        return list(await connection.fetch(query, *arguments, timeout=60))
    finally:
        await connection.close()


async def waiting_for_locks(dsn: str, sessions: int = 1) -> bool:
    """Do so many sessions of a database wait for locks of others?"""
    query = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    return len(await rows(dsn, query)) >= sessions
