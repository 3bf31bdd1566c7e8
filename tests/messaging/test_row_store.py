"""What a row store does with a batch, on the smallest table there is: numbers that grow."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest_asyncio
from uuid_utils.compat import uuid7

from messaging.ports.changes import InboxClaim, Write
from messaging.ports.message import Message
from messaging.postgres.aggregate_table import Column, Table
from messaging.postgres.row_store import RowStore
from tests.real_parts.relays import nobody
from tests.real_parts.waiting import DEADLINE


@dataclass(frozen=True, slots=True)
class Number:
    """An aggregate."""

    id: UUID
    value: int


COLUMNS: Sequence[Column[Number]] = (
    Column("id", "uuid", lambda number: number.id),
    Column("value", "integer", lambda number: number.value),
)
NUMBERS = Table("numbers", COLUMNS, lambda row: Number(row["id"], row["value"]))
A, B, C = sorted(uuid7() for _ in range(3))


def _with_message(number: Number) -> tuple[Number, list[Message]]:
    return number, [Message(uuid7(), "numbers", str(number.id), {}, str(number.value).encode())]


def adding(number_id: UUID, by: int, event_id: UUID | None = None) -> Write[Number, Number]:
    """The write that makes a number grow, from 0 if it is not there."""

    def decide(number: Number | None) -> Number:
        return Number(number_id, (number.value if number else 0) + by)

    return Write(number_id, decide, InboxClaim(event_id) if event_id else None)


@pytest_asyncio.fixture
async def sql(database: str) -> AsyncIterator[Any]:
    """A connection of the test's own, to a database that has numbers."""
    connection = await asyncpg.connect(database)
    await connection.execute("create table numbers (id uuid primary key, value integer not null)")
    yield connection
    await connection.close()


@asynccontextmanager
async def _numbers(dsn: str, table: Table[Number] = NUMBERS) -> AsyncIterator[RowStore[Number, Number]]:
    store = RowStore(dsn, table, _with_message, nobody, connections=1, max_batch=100, max_waiting=100)
    yield store
    await store.close()


async def _values(sql: Any) -> dict[UUID, int]:
    return {row["id"]: row["value"] for row in await sql.fetch("select id, value from numbers")}


async def test_writes_of_one_row_that_wait_together_go_on_from_each_other(database: str, sql: Any) -> None:
    event_id = uuid7()
    async with _numbers(database) as store:
        await store.write(adding(B, 10))
        writes = [adding(A, 1), adding(B, 2), adding(A, 3, event_id), adding(A, 100, event_id), adding(B, 4)]

        written = await asyncio.gather(*map(store.write, writes))

    assert [each.aggregate.value for each in written if each.aggregate] == [1, 12, 4, 4, 16]
    assert [each.decision is not None for each in written] == [True, True, True, False, True]
    assert await _values(sql) == {A: 4, B: 16}
    assert await sql.fetchval("select count(distinct xmin::text) from numbers") == 1, "one transaction wrote both"
    assert [row["value"] for row in await sql.fetch("select value from outbox where key = $1 order by id", str(B))] == [
        b"10",
        b"12",
        b"16",
    ]


async def test_rows_are_locked_in_the_order_of_their_keys_whatever_the_order_of_the_writes(
    database: str, sql: Any
) -> None:
    """Two instances that meet in the same rows would otherwise wait for each other. Without an index, PostgreSQL comes
    by these rows in the order in which they lie, which is the opposite of that of their keys."""
    await sql.execute("alter table numbers drop constraint numbers_pkey")
    for number_id in (C, B, A):
        await sql.execute("insert into numbers values ($1, 0)", number_id)
    async with _numbers(database) as store:
        async with sql.transaction():
            await sql.execute("select from numbers where id = $1 for update", B)
            writes = [asyncio.create_task(store.write(adding(number_id, 1))) for number_id in (C, B, A)]
            await _until_one_waits(sql)
            other = await asyncpg.connect(database)
            free = await other.fetch("select id from numbers for update skip locked")
            await other.close()
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*writes)

    assert [row["id"] for row in free] == [C], "the first is locked, the second is waited for, the third is still free"
    assert await _values(sql) == {A: 1, B: 1, C: 1}


async def test_a_row_that_cannot_be_read_fails_its_own_write_alone(database: str, sql: Any) -> None:
    def read(row: Any) -> Number:
        if row["value"] < 0:
            raise ValueError("less than nothing")
        return Number(row["id"], row["value"])

    await sql.execute("insert into numbers values ($1, -1), ($2, 1)", A, B)
    store = RowStore(
        database, Table("numbers", COLUMNS, read), _with_message, nobody, connections=1, max_batch=9, max_waiting=9
    )
    outcomes = await asyncio.gather(store.write(adding(A, 1)), store.write(adding(B, 1)), return_exceptions=True)
    await store.close()

    assert isinstance(outcomes[0], ValueError)
    assert await _values(sql) == {A: -1, B: 2}


async def _until_one_waits(sql: Any) -> None:
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with asyncio.timeout(DEADLINE):
        while await sql.fetchval(waiting) == 0:
            await sql.execute("select pg_sleep(0.01), pg_stat_clear_snapshot()")
