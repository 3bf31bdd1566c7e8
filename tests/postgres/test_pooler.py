"""A pooler before the database: one that gives each transaction another session is refused, one that does not is
fine."""

import asyncio
from pathlib import Path

import pytest

from messaging.ports.changes import StoreUnavailable
from messaging.postgres.outbox import PostgresOutbox
from messaging.postgres.pooler import PooledByTransaction
from messaging.postgres.session import connect
from tests.cli.commands import oms
from tests.http.answers import placed
from tests.http.conftest import client_of, running_service
from tests.postgres.conftest import name_of
from tests.real_parts.pgbouncer import PROGRAM, pgbouncer
from tests.real_parts.waiting import DEADLINE

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed: apt-get install pgbouncer")

SHARING = [
    {"pool_mode": "transaction"},
    {"pool_mode": "transaction", "default_pool_size": "1"},
    {"pool_mode": "transaction", "server_round_robin": "1", "min_pool_size": "5"},
    {"pool_mode": "statement"},
]


@pytest.mark.parametrize("settings", SHARING, ids=lambda settings: ", ".join(settings.values()))
async def test_sessions_that_are_shared_out_are_noticed(database: str, settings: dict[str, str]) -> None:
    async with pgbouncer(database, name_of(database), **settings) as url:
        with pytest.raises(PooledByTransaction, match="pool_mode = session"):
            await connect(url)


async def test_they_are_noticed_while_others_are_busy_there(database: str) -> None:
    async with pgbouncer(database, name_of(database), pool_mode="transaction") as url:
        for _ in range(3):
            outcomes = await asyncio.gather(*(connect(url) for _ in range(8)), return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {PooledByTransaction}


@pytest.mark.parametrize(
    "command",
    [
        ("serve", "order", "--roles", "api"),
        ("migrate", "order"),
        ("parked", "list", "--service", "order"),
    ],
    ids=" ".join,
)
async def test_every_command_ends_with_one_sentence(tmp_path: Path, database: str, command: tuple[str, ...]) -> None:
    async with pgbouncer(database, name_of(database), pool_mode="transaction") as url, asyncio.timeout(DEADLINE):
        ended = await oms(tmp_path, *command, ORDER_DATABASE_URL=url, EVENT_PUBLISHER="logging")

    assert ended.code == 1
    (sentence,) = ended.errors.splitlines()
    assert "pooler in transaction or statement mode" in sentence


async def test_a_process_that_started_while_the_database_was_away_does_nothing_through_such_a_pooler(
    database: str,
) -> None:
    async with pgbouncer(database, name_of(database), pool_mode="transaction") as url:
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await connect(url)


async def test_a_pooler_in_session_mode_works(database: str) -> None:
    async with pgbouncer(database, name_of(database), pool_mode="session", max_client_conn="50") as url:
        async with running_service(url) as service, client_of(service.app) as api:
            await placed(api)
            page, ready = await api.get("/orders"), await api.get("/health/ready")
        relay = PostgresOutbox(url)
        async with asyncio.timeout(DEADLINE):
            assert await relay.wanted_shards() == 4
            async with relay.own(0) as shard:
                await shard.oldest(1)
        await relay.close()

    assert (page.status_code, ready.status_code) == (200, 200)
