"""A catalogue from before prices had twelve digits is worth the same after the migration."""

import json
from collections.abc import Iterator

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from inventory_service.domain import MAX_PRICE_MINOR
from inventory_service.infrastructure.database import MIGRATIONS
from messaging.runtime.migrations import migrate
from shared_kernel.money import Money
from tests.inventory_service.conftest import fetch, instance
from tests.order_store.databases import database_of_revision
from tests.real_parts.postgres import PostgresServer

_PRODUCT = "insert into products values ($1, $2, $3, 10, 4)"
_RESERVATION = "insert into reservations (order_id, status, lines, currency) values ($1, 'RESERVED', $2, $3)"


@pytest.fixture
def old_database(postgres: PostgresServer) -> Iterator[str]:
    """A database with the first schema."""
    with database_of_revision(postgres, "0001", MIGRATIONS) as dsn:
        yield dsn


async def test_prices_and_reservations_are_worth_what_they_were(old_database: str) -> None:
    orders = {currency: uuid7() for currency in ("CLF", "EUR")}
    lines = json.dumps([{"p": "p2", "q": 3, "u": 1250}, {"p": "p1", "q": 1, "u": 99}])
    connection = await asyncpg.connect(old_database)
    for currency in ("CLF", "UYW", "EUR", "JPY"):
        await connection.execute(_PRODUCT, currency, 1_000_000_000, currency)
    for currency, order_id in orders.items():
        await connection.execute(_RESERVATION, order_id, lines, currency)
    await connection.close()

    await migrate(old_database, MIGRATIONS)

    async with instance(old_database) as stock:
        prices = {product.id.value: product.price for product in await stock.page(after=None, limit=10)}
    rows = await fetch(old_database, "select currency, lines from reservations order by currency")
    await fetch(old_database, "update products set price_minor = $1 returning id", MAX_PRICE_MINOR)

    assert prices == {
        "CLF": Money.of("10000000", "CLF"),
        "UYW": Money.of("10000000", "UYW"),
        "EUR": Money.of("10000000", "EUR"),
        "JPY": Money.of("1000000000", "JPY"),
    }
    assert [[(line["p"], line["q"], line["u"]) for line in json.loads(row["lines"])] for row in rows] == [
        [("p2", 3, 125_000), ("p1", 1, 9_900)],
        [("p2", 3, 1250), ("p1", 1, 99)],
    ]
