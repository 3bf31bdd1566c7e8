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
