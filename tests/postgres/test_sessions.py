"""Sessions that end: while they are idle, in the middle of a transaction, and with a statement that is given up."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from messaging.ports.changes import StoreUnavailable
from messaging.postgres.connection import CommitConnection
from messaging.postgres.pinned import COMMAND_TIMEOUT, PINNED
from messaging.postgres.pool import open_pool
from tests.http.answers import ORDER
from tests.http.conftest import client_of, running_service
from tests.real_parts.waiting import DEADLINE, until

_END_ALL = """
    select array_agg(pid) filter (where pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
"""
_LEFT = "select count(*) from pg_stat_activity where pid = any($1::integer[])"
_WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
_STORED = "select count(*) from orders"


async def test_a_connection_that_was_closed_while_it_was_idle_is_replaced_and_nobody_notices(
    module_database: str, sql: Any
) -> None:
    connection = CommitConnection(module_database)
    for _ in range(3):
        await connection.fetch("select 1")
        await sql.fetch(_END_ALL)
        closed = connection._connection.is_closed
        await until(lambda: _true(closed()), "the client has heard of it")  # noqa: B023  it is waited for at once
        assert [tuple(row) for row in await connection.fetch("select 2")] == [(2,)]
    await connection.close()


async def _true(value: bool) -> bool:
    return value


async def test_the_first_order_after_a_quiet_time_is_taken(database: str) -> None:
    """As after a restart of the database, or when a firewall or a pooler ends what is idle."""
    admin = await asyncpg.connect(database)
    async with running_service(database) as service, client_of(service.app) as api:
        answers = []
        for _ in range(3):
            answers.append((await api.post("/orders", json=ORDER)).status_code)
            answers.append((await api.get("/orders")).status_code)
            ended = await admin.fetchval(_END_ALL)
            await until(lambda: _are_gone(admin, ended), "the sessions are gone")  # noqa: B023  it is waited for at once
            await asyncio.sleep(0.05)  # whatever the loop still has to hear of it is in the socket by now
    await admin.close()

    assert answers == [201, 200] * 3


async def _are_gone(admin: Any, sessions: Sequence[int]) -> bool:
    """The service may have opened others meanwhile."""
    return bool(await admin.fetchval(_LEFT, sessions) == 0)


async def test_a_transaction_whose_connection_is_closed_does_not_go_on_over_another(
    module_database: str, sql: Any
) -> None:
    await sql.execute("create table if not exists marks (mark text)")
    connection = CommitConnection(module_database)

    async def broken_and_going_on() -> None:
        async with connection.transaction():
            await connection.fetch("insert into marks values ('first')")
            await sql.fetch(_END_ALL)
            with suppress(StoreUnavailable):
                await connection.fetch("insert into marks values ('second')")
            await connection.fetch("insert into marks values ('third')")

    async def broken_while_idle() -> None:
        async with connection.transaction():
            closed = connection._connection.is_closed
            await sql.fetch(_END_ALL)
            await until(lambda: _true(closed()), "the client has heard of it")
            await connection.fetch("insert into marks values ('fourth')")

    for broken in (broken_and_going_on, broken_while_idle):
        with pytest.raises(StoreUnavailable):
            await broken()
    assert await sql.fetch("select * from marks") == []
    assert await connection.fetch("select 1"), "afterwards it opens itself again"
    await connection.close()


@pytest.mark.parametrize("_time", range(5))
async def test_a_statement_whose_caller_goes_away_is_not_executed_later(
    module_database: str, sql: Any, holder: Any, _time: int
) -> None:
    await sql.execute("create table if not exists later (id uuid)")
    connection, mark = CommitConnection(module_database), uuid7()
    async with holder.transaction():
        await holder.execute("lock table later in access exclusive mode")
        given_up = asyncio.create_task(connection.fetch("insert into later values ($1)", mark))
        await until(lambda: _waits(sql), "the statement waits for the lock")
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert not await _waits(sql), "its session went away with it"

    assert await sql.fetchval("select count(*) from later where id = $1", mark) == 0
    await connection.close()


async def test_closing_gives_up_what_is_under_way(module_database: str, sql: Any, holder: Any) -> None:
    await sql.execute("create table if not exists later (id uuid)")
    connection, mark = CommitConnection(module_database), uuid7()
    async with holder.transaction():
        await holder.execute("lock table later in access exclusive mode")
        given_up = asyncio.create_task(connection.fetch("insert into later values ($1)", mark))
        await until(lambda: _waits(sql), "the statement waits for the lock")
        await connection.close()
        with pytest.raises(StoreUnavailable):
            await given_up
        assert not await _waits(sql)

    assert await sql.fetchval("select count(*) from later where id = $1", mark) == 0


async def _waits(sql: Any) -> bool:
    return bool(await sql.fetchval(_WAITING))


async def test_an_order_that_was_refused_because_of_a_lock_does_not_appear_when_the_lock_is_gone(
    monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    monkeypatch.setitem(PINNED, "lock_timeout", "100ms")
    holder, looking = await asyncpg.connect(database), await asyncpg.connect(database)
    async with running_service(database) as service, client_of(service.app) as api:
        for _ in range(5):
            async with holder.transaction():
                await holder.execute("lock table orders in access exclusive mode")
                async with asyncio.timeout(DEADLINE):
                    answer = await api.post("/orders", json=ORDER)
                assert answer.status_code == 503
                assert not await _waits(looking)
            assert await holder.fetchval(_STORED) == 0
        assert (await api.post("/orders", json=ORDER)).status_code == 201
    await holder.close()
    await looking.close()


def test_the_server_gives_up_before_the_client() -> None:
    """So a client hears that nothing was done, and need not guess."""
    for setting in ("statement_timeout", "lock_timeout"):
        assert float(PINNED[setting].removesuffix("s")) < COMMAND_TIMEOUT


async def test_a_pool_with_no_session_left_says_so_and_waits_no_longer_than_is_set(
    monkeypatch: pytest.MonkeyPatch, module_database: str
) -> None:
    async with open_pool(module_database) as pool:
        async with pool.session(), pool.session(), pool.session(), pool.session():
            monkeypatch.setattr("messaging.postgres.pool.WAIT", 0.01)
            with pytest.raises(StoreUnavailable):
                await pool.fetch("select 1")
            monkeypatch.undo()
        assert await pool.fetchval("select 1") == 1
