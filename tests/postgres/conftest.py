"""A database that tests of one module share, and a look at it from outside."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
import pytest_asyncio

from tests.real_parts.order_process import ORDER
from tests.real_parts.postgres import PostgresServer, cloned_database


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


async def settled(api: httpx.AsyncClient, location: str) -> bool:
    """True when an order is confirmed."""
    answer = await api.get(location)
    return answer.status_code == 200 and answer.json()["status"] == "CONFIRMED"


async def taken(api: httpx.AsyncClient) -> bool:
    """True when an order is taken. It may be refused with 503."""
    answer = await api.post("/orders", json=ORDER)
    assert answer.status_code in (201, 503), answer.text
    return answer.status_code == 201


async def answers_of(action: Callable[[], Awaitable[httpx.Response]], count: int = 5) -> set[int]:
    """The statuses of so many answers, one after the other."""
    return {(await action()).status_code for _ in range(count)}
