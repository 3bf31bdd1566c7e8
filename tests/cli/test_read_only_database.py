"""A database that takes no writes can be looked at. What changes it says so in a sentence."""

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from oms.cli import app
from tests.postgres.conftest import name_of
from tests.real_parts.postgres import PostgresServer


@pytest.fixture
def read_only(postgres: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database that an operator has made read-only."""
    monkeypatch.setenv("ORDER_DATABASE_URL", database)
    postgres.execute(f"alter database {name_of(database)} set default_transaction_read_only = on")
    yield database
    postgres.execute(f"alter database {name_of(database)} reset default_transaction_read_only")


@pytest.mark.parametrize(
    "command", ["audit verify order", "dead-letters list --service order", "parked list --service order"]
)
@pytest.mark.usefixtures("read_only")
def test_it_can_be_looked_at(command: str) -> None:
    ended = CliRunner().invoke(app, command.split())

    assert (ended.exit_code, ended.stderr) == (0, "")


@pytest.mark.parametrize("command", ["migrate order", "dead-letters replay --all --service order"])
@pytest.mark.usefixtures("read_only")
def test_what_changes_it_says_that_it_takes_no_writes(command: str) -> None:
    ended = CliRunner().invoke(app, command.split())

    (sentence,) = ended.stderr.splitlines()
    assert ended.exit_code == 1
    assert sentence == "the database of ORDER_DATABASE_URL takes no writes: it is a standby, or read-only"
