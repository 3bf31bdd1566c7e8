"""Every outbox there is, and every place for what could not be handled."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio

from messaging.memory.failures import MemoryFailures
from messaging.memory.outbox import MemoryOutbox
from messaging.ports.failures import Failure, Failures
from messaging.ports.message import Message
from messaging.ports.outbox import Outbox
from messaging.postgres.doorbell import CHANNEL
from messaging.postgres.failures import PostgresFailures
from messaging.postgres.outbox import INSERT_MESSAGES, PostgresOutbox, message_columns
from messaging.postgres.pool import open_pool
from tests.real_parts.postgres import PostgresServer, cloned_database


@dataclass(frozen=True, slots=True)
class OutboxUnderTest:
    """An outbox; the same one as another relay sees it; and commits that leave messages in it."""

    outbox: Outbox
    seen_by_another: Outbox
    commit: Callable[[Sequence[Message]], Awaitable[None]]


@pytest.fixture(params=["memory", "postgres"])
def kept_in(request: pytest.FixtureRequest) -> str | None:
    """The DSN of a database of this test's own; None is memory."""
    return str(request.getfixturevalue("database")) if request.param == "postgres" else None


@pytest_asyncio.fixture
async def under_test(kept_in: str | None) -> AsyncIterator[OutboxUnderTest]:
    """An empty outbox."""
    if kept_in is None:
        memory = MemoryOutbox()

        async def add(messages: Sequence[Message]) -> None:
            memory.add(messages)

        yield OutboxUnderTest(memory, memory, add)
        return
    left, right = PostgresOutbox(kept_in), PostgresOutbox(kept_in)
    yield OutboxUnderTest(left, right, lambda messages: commit_messages(kept_in, messages))
    await left.close()
    await right.close()


async def commit_messages(dsn: str, messages: Sequence[Message]) -> None:
    """Leave messages in the outbox of a database and wake the relays, as a store's commit does."""
    connection = await asyncpg.connect(dsn)
    try:
        columns = message_columns(messages)
        await connection.fetch(INSERT_MESSAGES, *columns)
        await connection.fetch("select pg_notify($1, $2)", CHANNEL, ",".join(map(str, set(columns[0]))))
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class FailuresUnderTest:
    """A place for what could not be handled; the same one as another instance sees it; and what lies there."""

    failures: Failures
    seen_by_another: Failures
    parked: Callable[[], Awaitable[list[Failure]]]
    dead: Callable[[], Awaitable[list[Failure]]]
    make_due: Callable[[], Awaitable[object]]
    """Let time pass, until everything that is parked is to be tried again."""


@pytest.fixture(scope="session")
def shared_database(postgres: PostgresServer) -> Iterator[str]:
    """The DSN of a database that tests use one after the other."""
    with cloned_database(postgres) as dsn:
        yield dsn


@pytest_asyncio.fixture
async def postgres_failures(shared_database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PostgresFailures]:
    """Nothing has failed yet. Whoever wants a session gets one in the end, however busy the machine is."""
    monkeypatch.setattr("messaging.postgres.pool.WAIT", 3600.0)
    async with open_pool(shared_database) as pool:
        await pool.execute("delete from parked")
        await pool.execute("delete from dead_letters")
        yield PostgresFailures(pool)


@pytest.fixture(params=["memory", "postgres"])
def kept(request: pytest.FixtureRequest) -> FailuresUnderTest:
    """Nothing has failed yet."""
    if request.param == "memory":
        return _memory_failures()
    return _postgres_failures(request.getfixturevalue("postgres_failures"))


def _memory_failures() -> FailuresUnderTest:
    failures = MemoryFailures()

    async def parked() -> list[Failure]:
        return list(failures._waiting.values())

    async def dead() -> list[Failure]:
        return failures.dead

    async def make_due() -> None:
        failures._due_at.update(dict.fromkeys(failures._due_at, 0.0))

    return FailuresUnderTest(failures, failures, parked, dead, make_due)


def _postgres_failures(failures: PostgresFailures) -> FailuresUnderTest:
    async def parked() -> list[Failure]:
        return [Failure(kept.record, kept.error, kept.attempts) for kept in await failures.parked()]

    async def dead() -> list[Failure]:
        return [Failure(kept.record, kept.error, kept.attempts) for kept in await failures.dead_letters()]

    return FailuresUnderTest(failures, PostgresFailures(failures._pool), parked, dead, failures.retry)
