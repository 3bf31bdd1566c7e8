"""Databases without a schema."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from tests.real_parts.postgres import PostgresServer


@contextmanager
def empty_database(server: PostgresServer) -> Iterator[str]:
    """The DSN of a database in which nothing is."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    server.execute(f"create database {name}")
    try:
        yield server.dsn_of(name)
    finally:
        server.execute(f"drop database {name} with (force)")
