"""The schema refuses rows that cannot be, whatever code writes them."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from messaging.runtime.migrations import migrate
from order_service.infrastructure.database import MIGRATIONS
from tests.real_parts.postgres import PostgresServer, cloned_database

ROW: dict[str, str] = {
    "customer_id": "'c1'",
    "status": "'PENDING'",
    "stock_status": "'REQUESTED'",
    "payment_status": "null",
    "deadline": "now()",
    "attempts": "0",
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

NO_DEADLINE = {"deadline": "null"}
PRICED = {"total_minor": "1", "currency": "'EUR'"}
CONFIRMED = {"status": "'CONFIRMED'", "stock_status": "'RESERVED'", "payment_status": "'CAPTURED'"} | NO_DEADLINE
COMPLETED = CONFIRMED | {"status": "'COMPLETED'", "stock_status": "'SHIPPED'"}
REJECTED = {"status": "'REJECTED'", "stock_status": "'REJECTED'", "reason": "'sold out'"} | NO_DEADLINE
CANCELLED = {"status": "'CANCELLED'", "stock_status": "'RELEASED'", "reason": "'not wanted'"} | NO_DEADLINE
STUCK = {"status": "'STUCK'", "stock_status": "'RELEASING'", "reason": "'not wanted'"} | NO_DEADLINE
POSSIBLE = [
    {},
    KEY,
    {"customer_id": "null"},
    {"attempts": "5"},
    PRICED | {"stock_status": "'RESERVED'", "payment_status": "'REQUESTED'"},
    PRICED | CONFIRMED,
    PRICED | COMPLETED,
    REJECTED,
    PRICED | REJECTED | {"stock_status": "'RELEASED'", "payment_status": "'DECLINED'"},
    CANCELLED,
    PRICED | CANCELLED | {"payment_status": "'REFUNDED'"},
    CANCELLED | {"status": "'CANCELLING'", "stock_status": "'RELEASING'", "deadline": "now()"},
    STUCK,
]

IMPOSSIBLE = [
    ("orders_status_check", {"status": "'SHIPPED'"} | NO_DEADLINE),
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
    ("a_confirmed_order_has_a_total", CONFIRMED),
    ("a_confirmed_order_has_a_total", COMPLETED),
    ("an_order_that_ended_early_has_a_reason", REJECTED | {"reason": "null"}),
    ("an_order_that_ended_early_has_a_reason", CANCELLED | {"reason": "null"}),
    ("a_key_has_its_caller_and_request", KEY | {"caller": "null"}),
    ("a_key_has_its_caller_and_request", {"idempotency_key": "'k'"}),
    ("a_key_has_its_caller_and_request", KEY | {"request_hash": "null"}),
    ("orders_request_hash_check", KEY | {"request_hash": "'short'"}),
    ("orders_history_check", {"history": "'{}'"}),
    ("updated_after_created", {"updated_at": "now() - interval '1 second'"}),
    ("orders_stock_status_check", {"stock_status": "'SOLD'"}),
    ("orders_payment_status_check", PRICED | {"payment_status": "'PAID'"}),
    ("orders_attempts_check", {"attempts": "-1"}),
    ("a_payment_has_a_total", {"payment_status": "'REQUESTED'", "stock_status": "'RESERVED'"}),
    *[
        ("a_deadline_while_something_is_waited_for", impossible)
        for impossible in (
            NO_DEADLINE,
            CANCELLED | {"status": "'CANCELLING'", "stock_status": "'RELEASING'"},
            *[PRICED | final | {"deadline": "now()"} for final in (CONFIRMED, COMPLETED, REJECTED, CANCELLED, STUCK)],
        )
    ],
    *[
        ("confirmed_means_reserved_and_captured", PRICED | CONFIRMED | unlike)
        for unlike in (
            {"payment_status": "null"},
            {"payment_status": "'REQUESTED'"},
            {"payment_status": "'REFUNDED'"},
            {"stock_status": "'REQUESTED'"},
            {"stock_status": "'RELEASED'"},
            {"status": "'COMPLETED'", "stock_status": "'RELEASING'"},
        )
    ],
    *[
        ("rejected_means_nothing_held_and_nothing_charged", PRICED | REJECTED | unlike)
        for unlike in (
            {"stock_status": "'RESERVED'"},
            {"stock_status": "'RELEASING'"},
            {"payment_status": "'CAPTURED'"},
            {"payment_status": "'REQUESTED'"},
        )
    ],
    *[
        ("cancelled_means_nothing_held_and_nothing_charged", PRICED | CANCELLED | unlike)
        for unlike in (
            {"stock_status": "'RELEASING'"},
            {"stock_status": "'RESERVED'"},
            {"payment_status": "'CAPTURED'"},
            {"payment_status": "'REFUNDING'"},
        )
    ],
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


async def test_the_rows_that_all_others_are_made_from_are_possible(schema: str) -> None:
    await _insert(schema, *POSSIBLE)


@pytest.mark.parametrize(("constraint", "columns"), IMPOSSIBLE)
async def test_an_order_that_cannot_be_is_refused_by_name(
    schema: str, constraint: str, columns: dict[str, str]
) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await _insert(schema, columns)

    assert refused.value.constraint_name == constraint


async def test_migrations_that_are_started_at_the_same_time_take_turns(empty: str) -> None:
    async with asyncio.timeout(60):
        await asyncio.gather(*(migrate(empty, MIGRATIONS) for _ in range(4)))

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
