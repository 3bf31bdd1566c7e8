"""The three services while their databases cannot do what is asked: nobody gets a 500, no key is parked, and everything
goes on by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from messaging.engine.retry import retry_when_busy
from messaging.postgres.pool import open_pool
from tests.postgres.conftest import answers_of, name_of, settled, taken
from tests.real_parts.order_process import ORDER
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.three_services import ThreeServices, all_in_one
from tests.real_parts.waiting import DEADLINE, until

PRODUCT = {"price": {"amount": "12.50", "currency": "EUR"}, "onHand": 1_000_000}

# Each table that a commit of one of the services writes to.
_FAIL = """
    create sequence if not exists failures;
    create or replace function fail_at_first() returns trigger language plpgsql as $$
    begin
        if nextval('failures') <= 2 then raise exception 'as the test wants it' using errcode = tg_argv[0]; end if;
        return new;
    end $$;
    alter sequence failures restart
"""
_TABLES = {"order": ("orders",), "inventory": ("products", "reservations"), "payment": ("payments",)}

Statements = Callable[[str], tuple[str, ...]]
CONDITIONS: dict[str, tuple[Statements, Statements]] = {
    "read-only": (
        lambda name: (f"alter database {name} set default_transaction_read_only = on",),
        lambda name: (f"alter database {name} reset default_transaction_read_only",),
    ),
    "takes no connections": (
        lambda name: (f"alter database {name} allow_connections false",),
        lambda name: (f"alter database {name} allow_connections true",),
    ),
    "renamed": (
        lambda name: (f"alter database {name} allow_connections false", _end_sessions(name), _rename(name)),
        lambda name: (f"alter database {name}_away rename to {name}", f"alter database {name} allow_connections true"),
    ),
}


def _end_sessions(name: str) -> str:
    return f"select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{name}'"


def _rename(name: str) -> str:
    return f"alter database {name} rename to {name}_away"


@asynccontextmanager
async def _under(admin: Any, services: ThreeServices, condition: str) -> AsyncIterator[None]:
    begin, end = CONDITIONS[condition]
    names = [name_of(dsn) for dsn in services.databases.values()]
    for name in names:
        for statement in (*begin(name), _end_sessions(name)):
            await admin.execute(statement)
    try:
        yield
    finally:
        for name in names:
            for statement in end(name):
                await admin.execute(statement)
            await admin.execute(_end_sessions(name))


async def test_what_the_database_cannot_do_now_is_503_and_is_done_when_it_can(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    admin = await asyncpg.connect(postgres.dsn)
    async with all_in_one(postgres, tmp_path) as services:
        async with httpx.AsyncClient(base_url=services.url("order"), timeout=DEADLINE) as api:
            for condition in CONDITIONS:
                under_way = [(await api.post("/orders", json=ORDER)).headers["Location"] for _ in range(5)]
                async with _under(admin, services, condition):
                    seen = {
                        "POST": await answers_of(lambda: api.post("/orders", json=ORDER)),
                        "PUT": await answers_of(lambda: api.put("/products/p1", json=PRODUCT)),
                        "ready": await answers_of(lambda: api.get("/health/ready"), 1),
                    }
                assert seen == {"POST": {503}, "PUT": {503}, "ready": {503}}, condition
                await until(lambda: taken(api), f"orders are taken again after: {condition}")
                for location in under_way:
                    await until(partial(settled, api, location), f"{location} is confirmed after: {condition}")
        log = services.processes["order"].log
    await admin.close()

    assert "key parked" not in log
    assert "dead letter" not in log
    assert "request failed" not in log


@pytest.mark.parametrize("again", [True, False], ids=["done again", "503"])
async def test_what_loses_to_others_is_done_again_and_what_must_wait_is_503(
    postgres: PostgresServer, tmp_path: Path, again: bool
) -> None:
    async with all_in_one(postgres, tmp_path) as services:
        async with httpx.AsyncClient(base_url=services.url("order"), timeout=DEADLINE) as api:
            for state in ("40001", "40P01") if again else ("55P03", "57014", "53100", "25006"):
                await _fail_at_first(services, state)
                answers = [await api.post("/orders", json=ORDER) for _ in range(3)]
                puts = [(await api.put("/products/p2", json=PRODUCT)).status_code for _ in range(3)]
                codes = [answer.status_code for answer in answers]
                assert set(codes) | set(puts) <= ({200, 201} if again else {200, 201, 503}), (state, codes, puts)
                assert codes[-1] == 201
                for answer in answers:
                    if answer.status_code == 201:
                        at = answer.headers["Location"]
                        await until(partial(settled, api, at), f"{at} is confirmed after {state}")
        log = services.processes["order"].log

    assert "key parked" not in log
    assert "dead letter" not in log
    assert "request failed" not in log


async def _fail_at_first(services: ThreeServices, state: str) -> None:
    """The first two rows that each service writes fail with this SQLSTATE."""
    for service, dsn in services.databases.items():
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(_FAIL)
            for table in _TABLES[service]:
                await connection.execute(
                    f"drop trigger if exists fail on {table}; create trigger fail before insert or update on {table} "
                    f"for each row execute function fail_at_first('{state}')"
                )
        finally:
            await connection.close()


async def test_a_real_deadlock_is_done_again(database: str) -> None:
    """Two sessions that lock the same rows the other way round: PostgreSQL ends one of them, and it is done again."""
    admin = await asyncpg.connect(database)
    await admin.execute(
        "create table pairs (id integer primary key, n integer); insert into pairs values (1, 0), (2, 0)"
    )
    async with open_pool(database) as pool:
        met = asyncio.Barrier(2)

        async def change(first: int, second: int) -> None:
            waits = True

            async def once() -> None:
                nonlocal waits
                async with pool.transaction() as session:
                    await session.execute("update pairs set n = n + 1 where id = $1", first)
                    if waits:
                        waits = False
                        await met.wait()
                    await session.execute("update pairs set n = n + 1 where id = $1", second)

            await retry_when_busy(once)

        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(change(1, 2), change(2, 1))
        assert [row["n"] for row in await admin.fetch("select n from pairs")] == [2, 2]
    await admin.close()
