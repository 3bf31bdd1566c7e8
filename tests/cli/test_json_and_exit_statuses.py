"""Operators' commands speak JSON to programs, and their exit statuses are those of docs/operations.md."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer
from typer.testing import CliRunner
from uuid_utils.compat import uuid7

from messaging.ports.failures import Failure
from messaging.ports.record import Record
from messaging.postgres.failures import PostgresFailures
from messaging.postgres.pool import open_pool
from oms.cli import app
from oms.exit_status import ExitStatus
from tests.cli.test_unable import OPERATORS

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
AWAY = "postgresql://127.0.0.1:1/orders"
NO_JSON = {"up", "serve", "roles", "topics acls"}  # what the last two print is SQL, and commands for a shell
LETTER = Record("inventory-events", 2, 41, "some-key", {"ce_type": "StockReserved"}, b"\xff not JSON")
STUCK_ORDER = """
    insert into orders (id, status, stock_status, version, lines, created_at, updated_at, reason, attempts)
    values ($1, 'STUCK', 'RELEASING', 9, '[{"p": "p1", "q": 2}]', now(), now(), 'cancelled by the customer', 5)
"""
UNKNOWN_ORDER = "insert into unknown_orders values ($1, 'PaymentCaptured', 2, now(), now())"


def told(command: str, database: str) -> Any:
    """The document that a command prints."""
    ended = CliRunner().invoke(app, [*command.split(), "--json"], env={"ORDER_DATABASE_URL": database})
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


def insert(database: str, statement: str) -> str:
    """The id of an order that was inserted."""
    order_id = uuid7()

    async def do() -> None:
        connection = await asyncpg.connect(database)
        await connection.execute(statement, order_id)
        await connection.close()

    asyncio.run(do())
    return str(order_id)


def bury(database: str) -> None:
    async def do() -> None:
        async with open_pool(database) as pool:
            await PostgresFailures(pool).bury(Failure(LETTER, "it is not JSON", 3))

    asyncio.run(do())


def leaves(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command of the command line, with its words."""
    if hasattr(command, "commands"):
        for name, each in command.commands.items():
            yield from leaves(each, f"{path} {name}".strip())
    else:
        yield path, command


def test_every_command_has_json_but_those_that_serve_or_print_scripts() -> None:
    options = {
        path: {option for parameter in command.params for option in parameter.opts}
        for path, command in leaves(typer.main.get_command(app))
    }

    assert {path for path, its in options.items() if "--json" not in its} == NO_JSON
    assert {"orders show", "orders stuck", "dead-letters list", "parked list", "status", "load"} <= options.keys()


@pytest.mark.parametrize(
    ("command", "document"),
    [
        ("orders stuck", []),
        ("orders unknown", []),
        ("orders retry --all", []),
        ("dead-letters list -s order", []),
        ("parked list -s order", []),
        ("parked retry -s order", {"service": "order", "key": None, "keys": 0}),
    ],
)
def test_nothing_to_tell_is_a_document_too(database: str, command: str, document: Any) -> None:
    assert told(command, database) == document


def test_migrating_tells_what_is_up_to_date(empty: str) -> None:
    assert told("migrate order", empty) == [{"service": "order", "upToDate": True}]


def test_stuck_and_unknown_orders_are_told_with_everything_the_tables_show(database: str) -> None:
    stuck, unknown = insert(database, STUCK_ORDER), insert(database, UNKNOWN_ORDER)
    (one,) = told("orders stuck", database)
    (other,) = told("orders unknown", database)
    retried = told(f"orders retry {stuck}", database)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", one.pop("since"))
    assert one == {"orderId": stuck, "stock": "RELEASING", "payment": None, "reason": "cancelled by the customer"}
    assert (other["orderId"], other["lastAnswer"], other["answers"]) == (unknown, "PaymentCaptured", 2)
    assert retried == [{"orderId": stuck, "status": "CANCELLING"}]


def test_dead_letters_and_parked_records_are_told_with_everything_the_tables_show(database: str) -> None:
    bury(database)
    (listed,) = told("dead-letters list -s order", database)
    shown = told(f"dead-letters show {listed['number']} -s order", database)
    replayed = told("dead-letters replay --all -s order", database)
    (parked,) = told("parked list -s order -k some-key", database)
    others = told("parked list -s order -k another-key", database)
    retried = told("parked retry -s order -k some-key", database)

    assert (listed["topic"], listed["partition"], listed["offset"]) == ("inventory-events", 2, 41)
    assert (listed["error"], listed["attempts"], listed["nextAttemptAt"]) == ("it is not JSON", 3, None)
    assert shown == listed | {"headers": {"ce_type": "StockReserved"}, "value": "\\xff not JSON"}
    assert replayed == {"service": "order", "replayed": 1}
    assert (parked["key"], parked["error"]) == ("some-key", "replayed: it is not JSON")
    assert parked["nextAttemptAt"] is not None
    assert others == []
    assert retried == {"service": "order", "key": "some-key", "keys": 1}


@pytest.mark.parametrize("command", OPERATORS)
def test_what_cannot_be_done_is_a_sentence_and_no_document(command: str) -> None:
    ended = CliRunner().invoke(app, [*command.split(), "--json"], env={"ORDER_DATABASE_URL": AWAY})

    assert (ended.exit_code, ended.stdout) == (ExitStatus.CANNOT, "")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "wrong", ["orders retry x", "orders show x", "dead-letters show x -s order", "status --every 0"]
)
def test_a_wrong_use_is_told_by_its_status(wrong: str) -> None:
    ended = CliRunner().invoke(app, wrong.split(), env={"ORDER_DATABASE_URL": AWAY})

    assert (ended.exit_code, ended.stdout) == (ExitStatus.USAGE, "")


def test_every_exit_status_is_in_the_table_of_the_page() -> None:
    section = OPERATIONS.read_text().split("\n## Exit statuses\n")[1].split("\n## ")[0]

    assert [int(status) for status in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)] == sorted(ExitStatus)


def test_the_page_shows_an_order_with_the_columns_that_the_command_prints() -> None:
    section = OPERATIONS.read_text().split("\n### Where is my order?\n")[1].split("\n### ")[0]

    for words in ("who", "what", "message", "outcome", "waits for      ", "parked         ", "dead letters   "):
        assert words in section
