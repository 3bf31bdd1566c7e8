"""The schema refuses stock and reservations that cannot be, whatever code writes them."""

from collections.abc import Iterator
from uuid import uuid4

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from tests.real_parts.postgres import PostgresServer

ROWS: dict[str, dict[str, str]] = {
    "products": {"id": "'p1'", "price_minor": "1250", "currency": "'EUR'", "on_hand": "10", "reserved": "3"},
    "reservations": {
        "order_id": f"'{uuid7()}'",
        "status": "'RESERVED'",
        "lines": """'[{"p": "p1", "q": 2, "u": 1250}]'""",
        "currency": "'EUR'",
        "reason": "null",
    },
}
REJECTED = {"status": "'REJECTED'", "reason": "'sold out'", "lines": "'[]'", "currency": "null"}
TOMBSTONE = {"status": "'RELEASED'", "lines": "'[]'", "currency": "null"}

IMPOSSIBLE = [
    ("products", "products_id_check", {"id": "''"}),
    ("products", "products_id_check", {"id": "repeat('x', 65)"}),
    ("products", "products_price_minor_check", {"price_minor": "0"}),
    ("products", "products_price_minor_check", {"price_minor": "1000000000000"}),
    ("products", "products_currency_check", {"currency": "'eur'"}),
    ("products", "no_more_is_reserved_than_is_on_hand", {"on_hand": "-1", "reserved": "0"}),
    ("products", "products_on_hand_check", {"on_hand": "1000000001"}),
    ("products", "products_reserved_check", {"reserved": "-1"}),
    ("products", "no_more_is_reserved_than_is_on_hand", {"reserved": "11"}),
    ("products", "no_more_is_reserved_than_is_on_hand", {"on_hand": "2"}),
    ("reservations", "reservations_status_check", {"status": "'PENDING'"}),
    ("reservations", "reservations_lines_check", {"lines": "'{}'"}),
    ("reservations", "reservations_currency_check", {"currency": "'eur'"}),
    ("reservations", "what_was_reserved_has_lines", {"lines": "'[]'", "currency": "null"}),
    ("reservations", "what_was_reserved_has_lines", {"status": "'SHIPPED'", "lines": "'[]'", "currency": "null"}),
    ("reservations", "what_was_rejected_holds_nothing", {"status": "'REJECTED'", "reason": "'sold out'"}),
    ("reservations", "only_a_rejection_has_a_reason", REJECTED | {"reason": "null"}),
    ("reservations", "only_a_rejection_has_a_reason", {"reason": "'sold out'"}),
    ("reservations", "prices_have_a_currency", {"currency": "null"}),
    ("reservations", "prices_have_a_currency", TOMBSTONE | {"currency": "'EUR'"}),
]


@pytest.fixture(scope="module")
def schema(postgres: PostgresServer, inventory_template: str) -> Iterator[str]:
    """One database for all of these, because nothing stays in it."""
    name = f"inventory_{uuid4().hex[:12]}"
    postgres.execute(f"create database {name} template {inventory_template}")
    yield postgres.dsn_of(name)
    postgres.execute(f"drop database {name} with (force)")


async def _insert(dsn: str, table: str, change: dict[str, str]) -> None:
    columns = ROWS[table] | change
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"insert into {table} ({', '.join(columns)}) values ({', '.join(columns.values())})")
    finally:
        await transaction.rollback()
        await connection.close()


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("products", {}),
        ("products", {"on_hand": "0", "reserved": "0"}),
        ("products", {"on_hand": "3"}),
        ("reservations", {}),
        ("reservations", {"status": "'SHIPPED'"}),
        ("reservations", {"status": "'RELEASED'"}),
        ("reservations", TOMBSTONE),
        ("reservations", REJECTED),
    ],
)
async def test_what_is_possible_is_stored(schema: str, table: str, change: dict[str, str]) -> None:
    await _insert(schema, table, change)


@pytest.mark.parametrize(("table", "constraint", "change"), IMPOSSIBLE)
async def test_what_cannot_be_is_refused_by_name(
    schema: str, table: str, constraint: str, change: dict[str, str]
) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await _insert(schema, table, change)

    assert refused.value.constraint_name == constraint
