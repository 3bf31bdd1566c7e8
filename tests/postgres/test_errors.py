"""What PostgreSQL says is judged by its SQLSTATE, the same for commits and for pools."""

import ast
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from messaging.engine.retry import TIMES, retry_when_busy
from messaging.ports.changes import StoreBusy, StoreUnavailable, StoreUnfit
from messaging.postgres.connection import CommitConnection
from messaging.postgres.errors import MEANINGS
from messaging.postgres.pool import open_pool
from messaging.postgres.session import connect
from tests.postgres.conftest import name_of
from tests.real_parts.postgres import PostgresServer

ROOT = Path(__file__).parents[2]

AWAY = [
    *("08000", "08003", "08006", "08P01", "25006", "25P02", "25P03", "25P04", "26000", "28000", "28P01", "3D000"),
    *("40003", "42P05", "53000", "53100", "53200", "53300", "55000", "55006", "55P03", "57014", "57P01", "57P02"),
    *("57P03", "57P04", "57P05", "58000", "58030", "F0000", "HV000", "XX000", "XX001", "XX002"),
]
AGAIN = ["40000", "40001", "40002", "40P01", "72000"]
OURS = [
    "0A000",
    "0B000",
    "0P000",
    "24000",
    "2D000",
    "34000",
    "3B001",
    "3F000",
    "42501",
    "42601",
    "42703",
    "42883",
    "42P01",
]
REFUSED = ["21000", "22001", "22003", "22P02", "23502", "23505", "23514", "44000", "54000", "P0001", "U0001"]

_RAISE = """
    create function public.fail(state text) returns integer language plpgsql as
    $$ begin raise exception 'as the test wants it' using errcode = state; end $$
"""


@pytest.fixture(scope="module", autouse=True)
def _function(module_database: str) -> None:
    async def make() -> None:
        connection = await asyncpg.connect(module_database)
        await connection.execute(_RAISE)
        await connection.close()

    asyncio.run(make())


async def _ask_of_a_commit(dsn: str, state: str) -> tuple[BaseException | None, bool]:
    connection = CommitConnection(dsn)
    await connection.fetch("select 1")
    opened = connection._connection
    try:
        await connection.fetch("select public.fail($1)", state)
    except Exception as error:  # noqa: BLE001  it is what the test is about
        return error, connection._connection is opened
    finally:
        await connection.close()
    return None, True


async def _ask_of_a_pool(dsn: str, state: str) -> tuple[BaseException | None, bool]:
    async with open_pool(dsn) as pool:
        before = await pool.fetchval("select pg_backend_pid()")
        try:
            await pool.fetch("select public.fail($1)", state)
        except Exception as error:  # noqa: BLE001  it is what the test is about
            return error, await pool.fetchval("select pg_backend_pid()") == before
        return None, True


ASK = pytest.mark.parametrize("ask", [_ask_of_a_commit, _ask_of_a_pool], ids=["a commit", "a pool"])
Ask = Callable[[str, str], Awaitable[tuple[BaseException | None, bool]]]


@ASK
@pytest.mark.parametrize("state", AWAY)
async def test_a_database_that_can_do_nothing_now_is_unavailable_and_its_session_is_not_kept(
    module_database: str, ask: Ask, state: str
) -> None:
    error, kept = await ask(module_database, state)

    assert type(error) is StoreUnavailable
    assert not kept, "what was read-only a moment ago would be asked for ever"


@ASK
@pytest.mark.parametrize("state", AGAIN)
async def test_a_transaction_that_lost_to_others_may_be_done_again(module_database: str, ask: Ask, state: str) -> None:
    error, kept = await ask(module_database, state)

    assert type(error) is StoreBusy
    assert kept


@ASK
@pytest.mark.parametrize("state", OURS)
async def test_a_schema_that_does_not_fit_is_no_fault_of_what_was_asked(
    module_database: str, ask: Ask, state: str
) -> None:
    error, _ = await ask(module_database, state)

    assert type(error) is StoreUnfit


@ASK
@pytest.mark.parametrize("state", REFUSED)
async def test_data_that_is_refused_fails_with_what_the_database_says(
    module_database: str, ask: Ask, state: str
) -> None:
    error, kept = await ask(module_database, state)

    assert isinstance(error, asyncpg.PostgresError)
    assert error.sqlstate == state
    assert kept


# What the author of a trigger or of a function may raise: it concerns the row.
OF_FUNCTIONS = {"09", "0F", "0Z", "10", "20", "27", "2F", "38", "39"}


def test_each_class_of_errors_has_a_meaning() -> None:
    states = {getattr(each, "sqlstate", None) for each in vars(asyncpg.exceptions).values() if isinstance(each, type)}
    classes = {state[:2] for state in states if state}

    unknown = {each for each in classes if each not in {key[:2] for key in MEANINGS}} - OF_FUNCTIONS
    assert unknown <= {"01", "02"}, "these are warnings; an error of any other class is taken for a fault of the data"


async def test_a_statement_that_was_planned_before_the_schema_changed_is_planned_anew(
    module_database: str, sql: Any
) -> None:
    await sql.execute(
        "create table changing (id integer primary key, note varchar(10)); insert into changing values (1)"
    )
    connection = CommitConnection(module_database)

    async def read() -> Any:
        async with connection.transaction():
            return await connection.fetch("select * from changing where id = $1", 1)

    await read()
    await sql.execute("alter table changing alter column note type text, add column more integer")

    assert [*(await retry_when_busy(read))[0].keys()] == ["id", "note", "more"]
    await connection.close()


async def test_an_argument_that_cannot_be_encoded_is_no_outage(module_database: str) -> None:
    connection = CommitConnection(module_database)

    with pytest.raises(asyncpg.DataError):
        await connection.fetch("select $1::integer", "seven")
    assert await connection.fetch("select 1")
    await connection.close()


async def test_what_lost_is_done_again_five_times_at_most(module_database: str, sql: Any) -> None:
    await sql.execute("create sequence tries")
    async with open_pool(module_database) as pool:
        with pytest.raises(StoreBusy):
            await pool.fetch("select nextval('tries'), public.fail('40P01')")

    assert await sql.fetchval("select last_value from tries") == TIMES


@pytest.mark.parametrize(
    ("make_it_so", "undo"),
    [
        ("alter role somebody connection limit 0", "alter role somebody connection limit -1"),
        ("alter role somebody nologin", "alter role somebody login"),
        ("alter database {database} allow_connections false", "alter database {database} allow_connections true"),
        ("alter database {database} rename to elsewhere", "alter database elsewhere rename to {database}"),
        ("alter database {database} connection limit 0", "alter database {database} connection limit -1"),
    ],
    ids=lambda statement: statement.split(" ", 2)[2].replace("{database} ", ""),
)
async def test_a_database_that_lets_nobody_in_is_unavailable_until_it_does(
    postgres: PostgresServer, database: str, make_it_so: str, undo: str
) -> None:
    admin = await asyncpg.connect(postgres.dsn)
    name = name_of(database)
    await admin.execute("drop role if exists somebody; create role somebody login")
    connection = CommitConnection(database.replace("//postgres:", "//somebody:"))
    await admin.execute(make_it_so.format(database=name))
    try:
        with pytest.raises(StoreUnavailable):
            await connection.fetch("select 1")
        await admin.execute(undo.format(database=name))

        assert await connection.fetch("select 1")
    finally:
        await connection.close()
        await admin.close()


def _calls(source: Path) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call)}


def test_one_place_opens_sessions_and_one_opens_pools() -> None:
    """So none lacks the settings, the look for a pooler, or the judgement of what goes wrong."""
    rooms = ("messaging", "order_service", "inventory_service", "payment_service", "http_api", "oms")
    opening = {
        (str(source.relative_to(ROOT)), call)
        for room in rooms
        for source in (ROOT / room).rglob("*.py")
        for call in _calls(source)
        if call in ("asyncpg.connect", "asyncpg.create_pool", "asyncpg.Pool", "asyncpg.connection.connect")
    }

    assert opening == {
        ("messaging/postgres/session.py", "asyncpg.connect"),
        ("messaging/postgres/pool.py", "asyncpg.create_pool"),
        # Whether the server that we start ourselves is there; it asks for nothing else.
        ("messaging/runtime/embedded_postgres/server.py", "asyncpg.connect"),
    }


async def test_whatever_the_server_says_at_the_login_nobodys_data_is_at_fault(module_database: str) -> None:
    with pytest.raises(StoreUnavailable):
        await connect(module_database.replace("//postgres:", "//nobody_of_this_name:"))
