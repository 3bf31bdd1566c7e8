"""The schema refuses rows that cannot be, whatever code writes them."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from order_service.infrastructure.database import migrate
from tests.order_store.databases import empty_database
from tests.real_parts.postgres import PostgresServer, cloned_database

ROW: dict[str, str] = {
    "customer_id": "'c1'",
    "status": "'PENDING'",
    "version": "1",
    "lines": """'[{"p": "p1", "q": 2}]'""",
    "total_minor": "null",
    "currency": "null",
    "reason": "null",
    "history": "'[]'",
    "created_at": "now()",
    "updated_at": "now()",
    "caller": "null",
    "idempotency_key": "null",
    "request_hash": "null",
}
KEY = {"caller": "'c'", "idempotency_key": "'k'", "request_hash": "sha256('r')"}

IMPOSSIBLE = [
    ("orders_status_check", {"status": "'SHIPPED'"}),
    ("orders_version_check", {"version": "0"}),
    ("orders_customer_id_check", {"customer_id": "''"}),
    ("orders_customer_id_check", {"customer_id": "repeat('x', 65)"}),
    ("orders_lines_check", {"lines": "'[]'"}),
    ("orders_lines_check", {"lines": "'{}'"}),
    ("orders_lines_check", {"lines": "(select jsonb_agg(n) from generate_series(1, 101) n)"}),
    ("orders_total_minor_check", {"total_minor": "-1", "currency": "'EUR'"}),
    ("orders_currency_check", {"total_minor": "1", "currency": "'euro'"}),
    ("a_total_has_a_currency", {"total_minor": "1"}),
    ("a_total_has_a_currency", {"currency": "'EUR'"}),
    ("a_confirmed_order_has_a_total", {"status": "'CONFIRMED'"}),
    ("a_confirmed_order_has_a_total", {"status": "'COMPLETED'"}),
    ("an_order_that_ended_early_has_a_reason", {"status": "'REJECTED'"}),
    ("an_order_that_ended_early_has_a_reason", {"status": "'CANCELLED'"}),
    ("a_key_has_its_caller_and_request", {"caller": "'c'"}),
    ("a_key_has_its_caller_and_request", {"idempotency_key": "'k'"}),
    ("a_key_has_its_caller_and_request", KEY | {"request_hash": "null"}),
    ("orders_request_hash_check", KEY | {"request_hash": "'short'"}),
    ("orders_history_check", {"history": "'{}'"}),
    ("updated_after_created", {"updated_at": "now() - interval '1 second'"}),
]


@pytest.fixture(scope="module")
def schema(postgres: PostgresServer) -> Iterator[str]:
    """One database for all of these, because nothing stays in it."""
    with cloned_database(postgres) as dsn:
        yield dsn


async def _insert(dsn: str, *rows: dict[str, str]) -> None:
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    try:
        for row in rows:
            columns = ROW | row
            await connection.execute(
                f"insert into orders (id, {', '.join(columns)}) values ($1, {', '.join(columns.values())})", uuid7()
            )
    finally:
        await transaction.rollback()
        await connection.close()


async def test_the_row_that_all_others_are_made_from_is_possible(schema: str) -> None:
    await _insert(schema, {}, KEY, {"customer_id": "null"})


@pytest.mark.parametrize(("constraint", "columns"), IMPOSSIBLE)
async def test_an_order_that_cannot_be_is_refused_by_name(
    schema: str, constraint: str, columns: dict[str, str]
) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await _insert(schema, columns)

    assert refused.value.constraint_name == constraint


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[str]:
    """A database without a schema."""
    with empty_database(postgres) as dsn:
        yield dsn


async def test_migrations_that_are_started_at_the_same_time_take_turns(empty: str) -> None:
    async with asyncio.timeout(60):
        await asyncio.gather(*(migrate(empty) for _ in range(4)))

    await _insert(empty, {})


async def test_a_caller_has_one_order_for_each_key(schema: str) -> None:
    await _insert(schema, KEY, KEY | {"idempotency_key": "'other'"}, KEY | {"caller": "'other'"})

    with pytest.raises(asyncpg.UniqueViolationError, match="orders_caller_idempotency_key"):
        await _insert(schema, KEY, KEY)


async def test_a_message_belongs_to_a_shard(schema: str) -> None:
    connection = await asyncpg.connect(schema)
    try:
        with pytest.raises(asyncpg.CheckViolationError, match="outbox_shard_check"):
            await connection.execute(
                "insert into outbox (shard, event_id, topic, key, headers, value) values (-1, $1, 't', 'k', '{}', '')",
                uuid7(),
            )
    finally:
        await connection.close()
