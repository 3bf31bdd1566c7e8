"""A release meets the schema of a newer one, as on the way back: it works with it, and leaves it as it is."""

import asyncio
import json

import asyncpg
import pytest
from typer.testing import CliRunner

from messaging.runtime.database import bring_up_to_date
from oms.cli import app
from order_service.infrastructure.database import MIGRATIONS
from tests.cli.commands import Ended

NEWER = "order: the schema is of a newer release, there is nothing to do"


@pytest.fixture
def migrated(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that the commands of this test find."""
    monkeypatch.setenv("ORDER_DATABASE_URL", database)
    return database


def run_sql(dsn: str, statement: str) -> None:
    """Run a statement in a session of its own."""

    async def run() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(run())


def migrate(*options: str) -> Ended:
    """How `oms migrate order` ends."""
    ended = CliRunner().invoke(app, ["migrate", "order", *options])
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


def test_there_is_nothing_to_migrate(migrated: str) -> None:
    run_sql(migrated, "update alembic_version set version_num = '0099'")

    assert migrate() == Ended(0, f"{NEWER}\n", "")
    assert json.loads(migrate("--json").output) == [{"service": "order", "upToDate": True}]


def test_the_rights_that_the_newer_release_gave_are_left_alone(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run_sql(migrated, "update alembic_version set version_num = '0099'")
    monkeypatch.setattr("messaging.runtime.database.grant_rights", None)

    assert migrate().code == 0


def test_a_schema_with_two_revisions_is_said_to_be_so(migrated: str) -> None:
    run_sql(migrated, "delete from alembic_version; insert into alembic_version values ('0001'), ('0002')")

    ended = migrate()

    assert (ended.code, ended.output) == (1, "")
    (sentence,) = ended.errors.splitlines()
    assert sentence.startswith("the schema cannot be migrated: ")
    assert sentence.endswith("; look at the table alembic_version")


def test_a_start_that_migrates_goes_on(migrated: str) -> None:
    assert asyncio.run(bring_up_to_date(migrated, MIGRATIONS))

    run_sql(migrated, "update alembic_version set version_num = '0099'")

    assert not asyncio.run(bring_up_to_date(migrated, MIGRATIONS))
