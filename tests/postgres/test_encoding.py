"""A database keeps whatever text customers send, or the start says that it cannot."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from messaging.ports.changes import StoreUnavailable
from messaging.postgres.connection import CommitConnection
from messaging.runtime.database import resolve
from tests.real_parts.postgres import PostgresServer


@pytest.fixture
def latin(postgres: PostgresServer) -> Iterator[str]:
    """A database that has no place for most characters."""
    name = f"latin_{uuid.uuid4().hex[:8]}"
    postgres.execute(f"create database {name} template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'")
    yield postgres.dsn_of(name)
    postgres.execute(f"drop database {name} with (force)")


async def test_a_database_of_another_encoding_ends_the_start_with_a_sentence(latin: str, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"keeps text as LATIN1.*encoding 'UTF8'"):
        await resolve(latin, tmp_path, "orders")


async def test_a_database_that_comes_back_with_another_encoding_is_unavailable(latin: str) -> None:
    with pytest.raises(StoreUnavailable, match="LATIN1"):
        await CommitConnection(latin).fetch("select 1")
