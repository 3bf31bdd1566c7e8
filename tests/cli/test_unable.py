"""A command that cannot do its work says one sentence, ends with status 1 in time, and leaves nothing behind."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from messaging.runtime import migrations
from oms import load
from oms.cli import app
from tests.cli.commands import oms
from tests.order_store.databases import empty_database
from tests.real_parts.kafka import free_port
from tests.real_parts.order_process import OURS
from tests.real_parts.postgres import PostgresServer

OPERATORS = [
    "orders stuck",
    "orders unknown",
    "orders retry --all",
    "orders retry 019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e",
    "dead-letters list --service order",
    "dead-letters show 1 --service order",
    "dead-letters replay 1 --service order",
    "dead-letters replay --all --service order",
    "parked list --service order",
    "parked retry --service order",
]
SECRET = "hunter2"
NOT_USABLE = "the database of ORDER_DATABASE_URL cannot be used: "
SOON = 15.0


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the caller's configuration."""
    for variable in os.environ:
        if variable.startswith(OURS):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))


def said(command: str, url: str | None = None, code: int = 1) -> str:
    """The one sentence with which a command ends that cannot do its work."""
    began = time.monotonic()
    ended = CliRunner().invoke(app, command.split(), env={"ORDER_DATABASE_URL": url} if url else {})
    assert time.monotonic() - began < SOON
    assert (ended.exit_code, ended.stdout) == (code, ""), ended.output
    (sentence,) = ended.stderr.splitlines()
    assert SECRET not in sentence
    assert "Traceback" not in sentence
    return sentence


@contextmanager
def silent_server() -> Iterator[str]:
    """The address of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"127.0.0.1:{silent.getsockname()[1]}"


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[str]:
    """A database without a schema."""
    with empty_database(postgres) as dsn:
        yield dsn


@pytest.mark.parametrize("command", [*OPERATORS, "migrate order"])
def test_a_database_that_nobody_serves_is_said_to_be_so(tmp_path: Path, command: str) -> None:
    sentence = said(command, f"postgresql://oms:{SECRET}@127.0.0.1:{free_port()}/orders")

    assert sentence.startswith(NOT_USABLE)
    assert sentence.endswith("is the address right, and does it run?")
    assert list(tmp_path.iterdir()) == []


def test_so_is_a_host_that_nobody_knows_and_one_that_says_nothing() -> None:
    assert said("migrate", f"postgresql://oms:{SECRET}@nowhere.invalid/orders").startswith(NOT_USABLE)
    with silent_server() as address:
        url = f"postgresql://oms:{SECRET}@{address}/orders"
        assert said("parked list", url).startswith(f"{NOT_USABLE}it does not answer in time")
        url += "?connect_timeout=1"
        assert said("migrate", url).startswith(f"{NOT_USABLE}it does not answer in time")


@pytest.mark.parametrize(
    "arguments",
    [f"dead-letters {command} {number}" for command in ("show", "replay") for number in (10**20, 2**63, 0)]
    + [
        f"{command} --key \udcff"
        for command in ("dead-letters list", "dead-letters replay", "parked list", "parked retry")
    ],
    ids=ascii,
)
def test_what_no_database_has_is_a_wrong_argument(arguments: str) -> None:
    url = f"postgresql://oms:{SECRET}@127.0.0.1:{free_port()}/orders"
    ended = CliRunner().invoke(app, [*arguments.split(), "--service", "order"], env={"ORDER_DATABASE_URL": url})

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "Invalid value for" in ended.stderr


@pytest.mark.parametrize("command", OPERATORS)
def test_a_database_that_was_not_migrated_is_said_to_be_so(empty: str, command: str) -> None:
    assert said(command, empty) == (
        "ORDER_DATABASE_URL leads to a database without the tables of this release: `oms migrate order` makes them"
    )


def test_a_database_that_is_not_there_or_not_ours_is_said_to_be_so(postgres: PostgresServer) -> None:
    for spoilt in (postgres.dsn_of("of_nobody"), postgres.dsn.replace("postgres:", "stranger:", 1)):
        for command in ("dead-letters list", "migrate"):
            assert "does not exist" in said(command, spoilt)


@pytest.mark.parametrize("command", ["up --quiet", "serve inventory --roles api --samples"])
def test_samples_that_cannot_be_stored_end_the_start_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.setenv("INVENTORY_DATABASE_URL", f"postgresql://oms:{SECRET}@127.0.0.1:{free_port()}/stock")
    monkeypatch.setenv("PAYMENT_DATABASE_URL", "memory")
    monkeypatch.setenv("LOG_LEVEL", "CRITICAL")

    sentence = said(f"{command} --port {free_port()}", "memory")

    assert sentence.startswith("the database of INVENTORY_DATABASE_URL cannot be used: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", OPERATORS)
def test_looking_makes_no_embedded_database(tmp_path: Path, command: str) -> None:
    sentence = said(command)

    assert sentence.startswith(f"there is no database in {tmp_path}/data/postgres yet; start the services with `oms up")
    assert list(tmp_path.iterdir()) == []


def test_a_migration_does_not_wait_for_ever_behind_somebody_elses_transaction(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_GIVING_UP", {"lock_timeout": "50ms"})

    async def migrate_behind_another() -> str:
        holder = await asyncpg.connect(empty)
        try:
            async with holder.transaction():
                await holder.execute("create table alembic_version (version_num varchar(32) not null)")
                return await asyncio.to_thread(said, "migrate order", empty)
        finally:
            await holder.close()

    assert asyncio.run(migrate_behind_another()).startswith(
        "the database of ORDER_DATABASE_URL is held up by somebody else's transaction"
    )


@pytest.mark.parametrize("command", ["up", "serve order --roles api", "migrate"])
def test_an_embedded_database_that_cannot_start_is_said_to_be_so(tmp_path: Path, command: str) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")

    sentence = said(command if command == "migrate" else f"{command} --port {free_port()}")

    assert sentence.startswith("the embedded PostgreSQL cannot keep its data in ")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_load_without_anybody_to_take_orders_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_ANSWERS_WITHIN", 0.1)
    monkeypatch.setattr(load, "_GIVES_UP_AFTER", 3600.0)
    with silent_server() as silent:
        for address in (silent, f"127.0.0.1:{free_port()}", "nowhere.invalid", "[", "no such host"):
            ended = CliRunner().invoke(app, ["load", "--url", f"http://{address}", "-n", "4", "-c", "4"])
            assert ended.exit_code == 1, ended.output
            assert ended.stderr.splitlines()[-1].startswith(f"http://{address} took none of the orders, but answered ")
            assert "Traceback" not in ended.output


def test_load_gives_up_when_every_request_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_GIVES_UP_AFTER", 0.2)

    ended = CliRunner().invoke(app, ["load", "--url", "http://[", "-n", "10000000", "-c", "4"])

    assert ended.exit_code == 1, ended.output
    assert ended.stderr.splitlines()[-1].startswith("http://[ took none of the orders, but ")


def test_load_gives_up_in_the_middle_of_requests_that_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_ANSWERS_WITHIN", 3600.0)
    monkeypatch.setattr(load, "_GIVES_UP_AFTER", 0.2)
    with silent_server() as address:
        ended = CliRunner().invoke(app, ["load", "--url", f"http://{address}", "-n", "10", "-c", "4"])

    assert ended.exit_code == 1
    assert "took none of the orders, but did not answer in time" in ended.stderr


def test_what_nobody_has_thought_of_is_a_sentence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def defect(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a mistake\nof ours")

    monkeypatch.setattr(load, "run", defect)
    ended = CliRunner().invoke(app, ["load"])

    assert ended.exit_code == 1
    assert ended.stderr.splitlines()[-1] == (
        "this command ended unexpectedly: ZeroDivisionError: a mistake of ours (LOG_LEVEL=DEBUG shows more)"
    )
    assert "Traceback" not in ended.output


async def test_a_real_process_says_it_the_same_way(tmp_path: Path) -> None:
    ended = await oms(tmp_path, "parked", "list", ORDER_DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/orders")

    assert (ended.code, ended.output) == (1, "")
    assert len(ended.errors.splitlines()) == 1
    assert ended.errors.startswith(NOT_USABLE)
