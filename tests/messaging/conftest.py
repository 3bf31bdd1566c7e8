"""Every outbox there is."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio

from messaging.memory_outbox import MemoryOutbox
from messaging.message import Message
from messaging.outbox import CHANNEL, INSERT_MESSAGES, PostgresOutbox, message_columns
from messaging.publishing import Outbox

_COMMIT = f"""
    with stored as (select distinct id from unnest($1::uuid[]) as id), sent as ({INSERT_MESSAGES})
    select pg_notify('{CHANNEL}', '')
"""


@dataclass(frozen=True, slots=True)
class OutboxUnderTest:
    """An outbox; the same one as another relay sees it; and commits that leave messages in it."""

    outbox: Outbox
    seen_by_another: Outbox
    commit: Callable[[Sequence[Message]], Awaitable[None]]


@pytest.fixture(params=["memory", "postgres"])
def outbox_dsn(request: pytest.FixtureRequest) -> str | None:
    """Where the outbox keeps its messages; None is memory."""
    return str(request.getfixturevalue("database")) if request.param == "postgres" else None


@pytest_asyncio.fixture
async def under_test(outbox_dsn: str | None) -> AsyncIterator[OutboxUnderTest]:
    """An empty outbox."""
    if outbox_dsn is None:
        memory = MemoryOutbox()

        async def add(messages: Sequence[Message]) -> None:
            memory.add(messages)

        yield OutboxUnderTest(memory, memory, add)
        return
    left, right = PostgresOutbox(outbox_dsn), PostgresOutbox(outbox_dsn)
    yield OutboxUnderTest(left, right, lambda messages: commit_messages(outbox_dsn, messages))
    await left.close()
    await right.close()


async def commit_messages(dsn: str, messages: Sequence[Message]) -> None:
    """Leave messages in the outbox of a database, as a store's commit does."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.fetch(_COMMIT, *message_columns([(message.event_id, message) for message in messages]))
    finally:
        await connection.close()
