"""A database that tests of one module share, and a look at it from outside."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from tests.real_parts.postgres import PostgresServer, cloned_database

DEADLINE = 60.0


@pytest.fixture(scope="module")
def module_database(postgres: PostgresServer) -> Iterator[str]:
    """The DSN of a database that the tests of a module use one after the other."""
    with cloned_database(postgres) as dsn:
        yield dsn


@pytest_asyncio.fixture
async def sql(module_database: str) -> AsyncIterator[Any]:
    """A session of the test's own in it."""
    connection = await asyncpg.connect(module_database)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def holder(module_database: str) -> AsyncIterator[Any]:
    """Another session, to hold locks with: within a transaction the view of what others do stands still."""
    connection = await asyncpg.connect(module_database)
    yield connection
    await connection.close()


def name_of(dsn: str) -> str:
    """The name of the database that a DSN names."""
    return urlsplit(dsn).path.removeprefix("/")
