"""Clients who read a lot take no session away from readiness, from consumers or from each other's turn."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from messaging.postgres.failures import PostgresFailures
from messaging.postgres.pinned import PINNED
from messaging.postgres.pool import SIZE, Pools, open_pools
from messaging.postgres.session import connect
from order_service.infrastructure.postgres_orders import _ABOVE_ALL, _NEWEST, _NEWEST_IN
from tests.http.answers import ORDER, assert_error, placed
from tests.http.conftest import client_of, running_service
from tests.real_parts.waiting import DEADLINE, until

CLIENTS = 200
_SLOW = "select *, pg_sleep(3600) from orders where id < $1 order by id desc limit $2"


async def test_two_hundred_clients_that_list_take_nothing_from_readiness_the_engine_or_new_orders(
    monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    monkeypatch.setattr("messaging.postgres.pool.WAIT", 10 * DEADLINE)
    admin = await asyncpg.connect(database)
    async with running_service(database) as service, client_of(service.app) as api, open_pools(database) as pools:
        await placed(api)
        monkeypatch.setattr(
            "order_service.infrastructure.postgres_orders._NEWEST",
            _SLOW,
        )
        listing = [asyncio.create_task(api.get("/orders")) for _ in range(CLIENTS)]
        await until(lambda: _sleeping(admin), "the clients have all the sessions that there are for them")

        async with asyncio.timeout(DEADLINE):
            ready = await api.get("/health/ready")
            order = await api.post("/orders", json=ORDER)
            found = await api.get(order.headers["Location"])
            assert await _engine_goes_on(pools)
            monkeypatch.setattr("messaging.postgres.pool.WAIT", 0.01)
            answered = await asyncio.gather(*(api.get("/orders") for _ in range(CLIENTS)))
        assert (ready.status_code, order.status_code, found.status_code) == (200, 201, 200)
        assert {answer.status_code for answer in answered} == {503}, "nobody waits for a session for longer than is set"
        for client in listing:
            client.cancel()
        await asyncio.gather(*listing, return_exceptions=True)
    await admin.close()


async def _sleeping(admin: Any) -> bool:
    query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
    return bool(await admin.fetchval(query) == 4)


async def _engine_goes_on(pools: Pools) -> bool:
    return await PostgresFailures(pools.engine).parked_among(["some-key"]) == set()


async def test_a_page_that_takes_too_long_is_ended_by_the_server(
    monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    monkeypatch.setattr(
        "order_service.infrastructure.postgres_orders._NEWEST",
        _SLOW,
    )
    async with running_service(database) as service, client_of(service.app) as api:
        await placed(api)
        monkeypatch.setitem(PINNED, "statement_timeout", "100ms")  # of the sessions of clients: they have none yet
        async with asyncio.timeout(DEADLINE):
            answer = await api.get("/orders")

    assert_error(answer, 503, errors={"service": "the database does not answer (QueryCanceledError)"})


async def test_when_clients_have_all_their_sessions_the_engine_still_has_its_own(database: str) -> None:
    async with open_pools(database) as pools, AsyncExitStack() as stack, asyncio.timeout(DEADLINE):
        for _ in range(SIZE):
            await stack.enter_async_context(pools.clients.session())
        assert await pools.engine.fetchval("select 1") == 1


@pytest.mark.parametrize(
    ("statement", "arguments", "index"),
    [(_NEWEST, (_ABOVE_ALL, 20), "orders_pkey"), (_NEWEST_IN, (_ABOVE_ALL, 20, "STUCK"), "orders_status")],
    ids=["any status", "one status"],
)
async def test_a_page_is_read_along_an_index_that_has_its_order(
    database: str, statement: str, arguments: tuple[object, ...], index: str
) -> None:
    session = await connect(database)
    plan = "\n".join(row[0] for row in await session.fetch(f"explain {statement}", *arguments))
    session.terminate()

    assert f"Index Scan Backward using {index}" in plan
    assert "Filter" not in plan
    assert "Sort" not in plan
