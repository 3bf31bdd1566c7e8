"""Readiness knows what a service needs of its database: that it takes writes, and has the schema of this release."""

from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import pytest

from messaging.postgres import probe
from tests.http.conftest import client_of, running_service
from tests.order_store.databases import database_of_revision, empty_database
from tests.postgres.conftest import name_of
from tests.real_parts.postgres import PostgresServer

_ROLE = """
    do $$ begin create role service login; exception when duplicate_object then null; end $$;
    grant select, insert, update, delete on all tables in schema public to service
"""


async def _ready(api: httpx.AsyncClient) -> tuple[int, dict[str, Any]]:
    answer = await api.get("/health/ready")
    return answer.status_code, {name: answer.json()["checks"][name] for name in ("database", "schema")}


async def test_a_database_that_becomes_read_only_is_seen_and_so_is_its_end(
    monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer, database: str
) -> None:
    monkeypatch.setattr(probe, "_LOOK_ANEW_AFTER", 0.0)
    admin, name = await asyncpg.connect(postgres.dsn), name_of(database)
    async with running_service(database) as service, client_of(service.app) as api:
        before = await _ready(api)
        await admin.execute(f"alter database {name} set default_transaction_read_only = on")
        read_only = await _ready(api)
        await admin.execute(f"alter database {name} reset default_transaction_read_only")
        afterwards = await _ready(api)
    await admin.close()

    assert before == afterwards == (200, {"database": "UP", "schema": "UP"})
    assert read_only == (503, {"database": "DOWN", "schema": "UP"})


async def test_a_service_that_can_still_write_is_ready_while_the_database_lets_nobody_new_in(
    monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer, database: str
) -> None:
    """A database out of connections would otherwise take every instance out of rotation at once."""
    monkeypatch.setattr(probe, "_LOOK_ANEW_AFTER", 0.0)
    admin, name = await asyncpg.connect(postgres.dsn), name_of(database)
    async with running_service(database) as service, client_of(service.app) as api:
        assert (await _ready(api))[0] == 200
        await admin.execute(f"alter database {name} allow_connections false")
        closed = await _ready(api)
        await admin.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")
        gone = await _ready(api)
        await admin.execute(f"alter database {name} allow_connections true")
        back = await _ready(api)
    await admin.close()

    assert (closed[0], gone[0], back[0]) == (200, 503, 200)


@pytest.fixture
def old_database(postgres: PostgresServer) -> Iterator[str]:
    """A database whose schema is that of an earlier release."""
    with database_of_revision(postgres, "0001") as dsn:
        yield dsn


@pytest.fixture
def no_schema(postgres: PostgresServer) -> Iterator[str]:
    """A database in which nothing is."""
    with empty_database(postgres) as dsn:
        yield dsn


@pytest.fixture(params=["old_database", "no_schema"])
def unfit(request: pytest.FixtureRequest) -> str:
    """Each of the two."""
    return str(request.getfixturevalue(request.param))


async def test_a_schema_older_than_the_release_is_not_ready(unfit: str) -> None:
    async with running_service(unfit) as service, client_of(service.app) as api:
        assert await _ready(api) == (503, {"database": "UP", "schema": "DOWN"})


@pytest.mark.parametrize(
    ("without", "again"),
    [
        ("alter table parked rename to parked_away", "alter table parked_away rename to parked"),
        ("revoke insert on outbox from service", "grant insert on outbox to service"),
        ("revoke select on orders from service", "grant select on orders to service"),
    ],
    ids=["a table is gone", "a table cannot be written to", "a table cannot be read"],
)
async def test_a_service_that_cannot_use_a_table_is_not_ready(database: str, without: str, again: str) -> None:
    admin = await asyncpg.connect(database)
    await admin.execute(_ROLE)
    async with running_service(database.replace("//postgres:", "//service:")) as service, client_of(service.app) as api:
        before = await _ready(api)
        await admin.execute(without)
        during = await _ready(api)
        await admin.execute(again)
        afterwards = await _ready(api)
    await admin.close()

    assert before == afterwards == (200, {"database": "UP", "schema": "UP"})
    assert during == (503, {"database": "UP", "schema": "DOWN"})


async def test_the_schema_of_a_newer_release_is_ready_because_it_comes_before_the_new_processes(
    database: str,
) -> None:
    admin = await asyncpg.connect(database)
    await admin.execute("update alembic_version set version_num = '9999'")
    await admin.close()
    async with running_service(database) as service, client_of(service.app) as api:
        assert await _ready(api) == (200, {"database": "UP", "schema": "UP"})
