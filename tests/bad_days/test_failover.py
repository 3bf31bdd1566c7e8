"""The primary is lost, and a standby takes its place."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from messaging.postgres.outbox import PostgresOutbox
from messaging.runtime.migrations import migrate
from order_service.infrastructure.database import MIGRATIONS
from tests.messaging.conftest import commit_messages
from tests.messaging.messages import messages_in
from tests.real_parts.order_process import Load, OrderProcess
from tests.real_parts.postgres_cluster import Node, dsn_of_all, postgres_cluster
from tests.real_parts.query import rows

# PostgreSQL writes to the log that a sequence has gone on by 33. So many numbers a standby skips.
SKIPPED = 33


@pytest.fixture
def pair() -> Iterator[tuple[Node, Node]]:
    """A primary, and a standby that follows it asynchronously."""
    with postgres_cluster() as (primary, standby):
        yield primary, standby


async def until_replayed(primary: Node, standby: Node) -> None:
    """Wait until the standby has all that the primary has by now."""
    reached = primary.execute("select pg_current_wal_flush_lsn()")
    for _ in range(3000):
        if standby.execute(f"select pg_last_wal_replay_lsn() >= '{reached}'") == "t":
            return
        standby.execute("select pg_sleep(0.01)")
    raise AssertionError(f"the standby has not replayed {reached}")


async def test_what_got_the_row_ids_of_a_lost_batch_is_published_and_not_deleted(pair: tuple[Node, Node]) -> None:
    primary, standby = pair
    await migrate(primary.dsn(), MIGRATIONS)
    kept, lost, new = messages_in(0, 3), messages_in(0, 4 * SKIPPED), messages_in(0, 2 * SKIPPED)
    await commit_messages(primary.dsn(), kept)
    await until_replayed(primary, standby)
    standby.stop()
    await commit_messages(primary.dsn(), lost)
    async with PostgresOutbox(primary.dsn()).own(0) as shard:
        published = await shard.oldest(1000)
    assert list(published.messages) == kept + lost

    primary.kill()
    standby.start()
    standby.promote()
    await commit_messages(standby.dsn(), new)

    async with PostgresOutbox(standby.dsn()).own(0) as shard:
        waiting = await shard.oldest(1000)
        assert set(waiting.row_ids[len(kept) :]) & set(published.row_ids), "no id came again, so this proves nothing"
        assert await shard.delete_published(published.position) == len(kept)
        assert list((await shard.oldest(1000)).messages) == new


async def test_no_accepted_order_is_lost_when_a_synchronous_standby_is_promoted_under_load(
    pair: tuple[Node, Node], tmp_path: Path
) -> None:
    primary, standby = pair
    await migrate(primary.dsn(), MIGRATIONS)
    primary.acknowledge_with_standby()
    environment = {"EVENT_PUBLISHER": "logging", "ORDER_DATABASE_URL": dsn_of_all([primary, standby])}
    load, stop = Load.nothing(), asyncio.Event()
    with OrderProcess(tmp_path, environment) as service:
        clients = asyncio.create_task(load.run(service.url, stop, clients=8))
        await load.until_accepted(100)
        await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(standby.promote)
        await load.until_accepted(len(load.accepted) + 100)
        stop.set()
        await clients
    stored = {str(row["id"]) for row in await rows(standby.dsn(), "select id from orders")}

    assert (load.unexpected, load.unanswered) == ([], 0)
    assert load.refused, "no request met the failover, so it proved nothing"
    assert set(load.accepted) <= stored
