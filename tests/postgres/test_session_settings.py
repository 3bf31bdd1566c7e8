"""What a database administrator sets for a role or a database does not change what our statements mean."""

from collections.abc import Iterator
from typing import Any

import pytest

from messaging.ports.changes import Created, Creation
from messaging.postgres.connection import CommitConnection
from messaging.postgres.outbox import PostgresOutbox
from messaging.postgres.pinned import PINNED
from messaging.postgres.pool import open_pools
from messaging.postgres.session import connect
from tests.domain.orders import placed_order
from tests.order_store.conftest import postgres_orders
from tests.postgres.conftest import name_of
from tests.real_parts.postgres import PostgresServer, cloned_database

HOSTILE = {
    "default_transaction_isolation": "serializable",
    "synchronous_commit": "off",
    "search_path": "nowhere",
    "TimeZone": "Asia/Kathmandu",
    "standard_conforming_strings": "off",
    "statement_timeout": "3s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "3s",
    "idle_session_timeout": "3s",
    "transaction_timeout": "3s",
    "plan_cache_mode": "force_custom_plan",
    "enable_seqscan": "on",
    "enable_indexscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "jit": "on",
    # What nobody here relies on, and must not matter.
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "DateStyle": "German",
    "extra_float_digits": "-15",
    "IntervalStyle": "iso_8601",
    "transform_null_equals": "on",
}


@pytest.fixture(scope="module")
def hostile_database(postgres: PostgresServer) -> Iterator[str]:
    """A database with settings of somebody else's taste."""
    with cloned_database(postgres) as dsn:
        name = name_of(dsn)
        for setting, value in HOSTILE.items():
            postgres.execute(f"alter database {name} set {setting} = '{value}'")
        yield dsn


async def _settings(session: Any) -> dict[str, str]:
    rows = await session.fetch(
        "select name, current_setting(name) as value from pg_settings where name = any($1)", [*PINNED]
    )
    return {row["name"]: row["value"] for row in rows}


def _wanted(**others: str) -> dict[str, str]:
    return dict(PINNED) | others


def test_the_hostile_values_differ_from_all_that_are_pinned() -> None:
    assert not {name for name, value in PINNED.items() if HOSTILE.get(name, value) == value}


async def test_commits_pools_and_relays_have_their_own_settings(hostile_database: str) -> None:
    commits = CommitConnection(hostile_database)
    relay = await PostgresOutbox(hostile_database, idle_timeout=10.0)._connect()
    async with open_pools(hostile_database) as pools:
        found = {
            "commits": await _settings(commits),
            "clients": await _settings(pools.clients),
            "engine": await _settings(pools.engine),
            "relay": await _settings(relay),
        }
    await commits.close()
    relay.terminate()

    of_a_relay = {"idle_session_timeout": "10s", "statement_timeout": "25s"}
    assert found == {
        "commits": _wanted(),
        "clients": _wanted(),
        "engine": _wanted(),
        "relay": _wanted(**of_a_relay, enable_bitmapscan="off", enable_sort="off"),
    }


async def test_orders_are_stored_and_read_in_such_a_database(hostile_database: str) -> None:
    order = placed_order()
    async with postgres_orders(hostile_database) as orders:
        assert await orders.create(Creation(order, order.events)) == Created()
        found = await orders.find(order.id)

    assert found is not None
    assert (found.lines, found.created_at) == (order.lines, order.created_at)


async def test_a_url_may_choose_the_schema_and_nothing_else_that_is_pinned(database: str) -> None:
    session = await connect(f"{database}&options=-csearch_path%3Dpg_catalog%20-c%20work_mem=8MB")
    try:
        assert (
            await session.fetchval("select current_setting('search_path') || current_setting('work_mem')")
            == "pg_catalog8MB"
        )
    finally:
        session.terminate()
