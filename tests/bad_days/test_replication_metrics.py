"""What operators see of replication: how many standbys stream, and which commits wait for one."""

import asyncio
from collections.abc import Iterator

import pytest

from messaging.postgres.pool import open_pool
from messaging.postgres.replication import replication_state
from tests.real_parts.postgres_cluster import Node, postgres_cluster
from tests.real_parts.waiting import until


@pytest.fixture
def pair() -> Iterator[tuple[Node, Node]]:
    """A primary that answers a commit when its standby has it, too."""
    with postgres_cluster() as (primary, standby):
        primary.acknowledge_with_standby()
        yield primary, standby


async def test_a_standby_that_is_lost_and_the_commits_that_wait_for_it_show(pair: tuple[Node, Node]) -> None:
    primary, standby = pair
    async with open_pool(primary.dsn()) as pool, open_pool(primary.dsn()) as writers:

        async def shows(standbys: int, waiting: int) -> bool:
            return (await replication_state(pool))[::2] == (standbys, waiting)

        await until(lambda: shows(1, 0), "the standby streams")
        await until(lambda: _has_no_lag(pool), "it has applied everything")
        standby.kill()
        await until(lambda: shows(0, 0), "it is gone")
        commit = asyncio.create_task(writers.execute("create table waits ()"))
        await until(lambda: shows(0, 1), "the commit waits")
        standby.start()
        await commit
        await until(lambda: shows(1, 0), "it is back")


async def _has_no_lag(pool: object) -> bool:
    return (await replication_state(pool))[1] == 0


async def test_a_primary_without_standbys_has_none_and_waits_for_none(database: str) -> None:
    async with open_pool(database) as pool:
        assert await replication_state(pool) == (0, 0, 0)
