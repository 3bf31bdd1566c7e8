"""A standby was promoted, or a backup was restored: a service says so once, because commits of its own may be gone."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from messaging.postgres.pool import open_pool
from messaging.postgres.timeline import notice_timeline
from messaging.runtime.migrations import migrate
from order_service.infrastructure.database import MIGRATIONS
from tests.bad_days.test_failover import until_replayed
from tests.real_parts.order_process import OrderProcess
from tests.real_parts.postgres_cluster import Node, postgres_cluster
from tests.real_parts.waiting import until

LINE = "the database is on a new timeline"
_NO_STANDBY_YET = "alter system set synchronous_standby_names = 'ANY 1 (*)'"
_REMEMBERED = "select count(*) from timelines"
_STRANGER = """
    create role stranger login; grant all on all tables in schema public to stranger;
    revoke execute on function pg_control_system from public
"""


@pytest.fixture
def pair() -> Iterator[tuple[Node, Node]]:
    """A primary with the schema, and a standby that follows it asynchronously."""
    with postgres_cluster() as (primary, standby):
        asyncio.run(migrate(primary.dsn(), MIGRATIONS))
        yield primary, standby


async def _said(dsn: str) -> list[tuple[int, int]]:
    """What a process that starts says of the timeline: the one that it is on, and the one before."""
    async with open_pool(dsn) as pool:
        with capture_logs() as lines:
            await notice_timeline("order", pool)
    return [(line["timeline"], line["before"]) for line in lines if line["log_level"] == "warning"]


async def _has(service: OrderProcess, text: str) -> bool:
    return text in service.log


async def test_the_first_start_after_a_promotion_says_what_it_means_and_no_other_start_does(
    pair: tuple[Node, Node], tmp_path: Path
) -> None:
    primary, standby = pair
    assert [await _said(primary.dsn()) for _ in range(2)] == [[], []]
    await until_replayed(primary, standby)
    primary.kill()
    standby.promote()
    standby.execute(_NO_STANDBY_YET)
    standby.execute("select pg_reload_conf()")

    environment = {"EVENT_PUBLISHER": "logging", "ORDER_DATABASE_URL": standby.dsn()}
    with OrderProcess(tmp_path, environment) as service:
        await until(partial(_has, service, LINE), "the service notices the promotion")
        assert "oms orders unknown" in service.log
        assert service.log.count(LINE) == 1
    assert await _said(standby.dsn()) == []
    assert await _remembered(standby.dsn()) == 2


async def test_a_dump_that_is_restored_to_another_server_is_noticed(database: str) -> None:
    assert await _said(database) == []
    assert await _remembered(database) == 1
    await _execute(database, "update timelines set system_identifier = 1")

    assert await _said(database) == [(1, 1)]
    assert await _said(database) == []


async def test_a_server_that_does_not_tell_its_timeline_is_no_failure(database: str) -> None:
    await _execute(database, _STRANGER)
    try:
        assert await _said(database.replace("postgres:@", "stranger:@")) == []
        assert await _remembered(database) == 0
    finally:
        await _execute(database, "drop owned by stranger; drop role stranger")


async def _remembered(dsn: str) -> int:
    async with open_pool(dsn) as pool:
        return int(await pool.fetchval(_REMEMBERED))


async def _execute(dsn: str, statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(statements)
    await connection.close()
