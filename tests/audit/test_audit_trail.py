"""The audit trail in PostgreSQL: what is done is in it, and what is in it stays."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from messaging.ports.audit import WHO, AuditEntry, Outcome, done
from messaging.postgres.audit import INSERT_AUDIT, PostgresAudit, audit_columns
from messaging.postgres.audit_chain import Tampered
from messaging.postgres.pool import open_pool
from messaging.runtime.embedded_postgres.programs import find_programs
from messaging.runtime.migrations import migrate
from order_service.infrastructure.database import MIGRATIONS
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.postgres_cluster import run

ENTRY = AuditEntry("anna (root@here)", "order.retry", order_id=UUID(int=7), detail={"attempt": 1})


@pytest_asyncio.fixture
async def trail(database: str) -> AsyncIterator[PostgresAudit]:
    """An audit trail. Its first entry is the migration's."""
    async with open_pool(database) as pool:
        yield PostgresAudit(pool)


@pytest_asyncio.fixture
async def owner(database: str) -> AsyncIterator[Any]:
    """A session of the superuser, who owns the tables."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def test_an_entry_is_read_as_it_was_written(trail: PostgresAudit) -> None:
    await trail.write([ENTRY])
    (found,) = await trail.newest(ENTRY.order_id, 10)

    assert (found.who, found.action, found.outcome, found.order_id) == (ENTRY.who, ENTRY.action, "done", UUID(int=7))
    assert found.detail == '{"attempt": 1}'
    assert found.role == "postgres", "the role that wrote it"


async def test_the_migration_is_the_first_entry(trail: PostgresAudit) -> None:
    (first,) = await trail.newest(None, 10)

    assert first.action == "schema.migrate"
    assert first.detail.startswith('{"from": "nothing", "to": "')


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(who=st.text(), detail=st.dictionaries(st.text(), st.text() | st.integers()))
def test_the_database_and_we_hash_alike(database: str, who: str, detail: dict[str, str | int]) -> None:
    """The database makes the hash, and this program checks it. So it is the same for every text that can be stored."""
    entry = AuditEntry(who, "order.cancel", Outcome.REFUSED, uuid7(), detail)

    async def write_and_check() -> None:
        async with open_pool(database) as pool:
            await PostgresAudit(pool).write([entry])
            await PostgresAudit(pool).verify()

    asyncio.run(write_and_check())


UPSERT = """
    insert into audit (id, who, action, outcome) overriding system value values (1, 'a', 'b', 'done')
    on conflict (id) do update set who = 'nobody'
"""


async def test_even_the_owner_cannot_change_what_is_written(trail: PostgresAudit, owner: Any) -> None:
    await trail.write([ENTRY])
    await trail.seal()
    for statement in (
        "update audit set who = 'nobody'",
        "update audit set who = who where false",
        UPSERT,
        "delete from audit",
        "truncate audit",
        "truncate audit cascade",
        "update audit_seals set entries = 2",
        "delete from audit_seals",
        "truncate audit_seals",
        "set session_replication_role = replica; delete from audit",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await owner.execute(statement)


async def test_a_seal_covers_what_was_not_sealed_and_follows_the_one_before(trail: PostgresAudit) -> None:
    first = await trail.seal()
    nothing_new = await trail.seal()
    await trail.write([ENTRY, ENTRY])
    second = await trail.seal()
    await trail.write([ENTRY])
    verified = await trail.verify()

    assert first is not None
    assert second is not None
    assert nothing_new is None
    assert (first.number, first.entries, second.number, second.entries) == (1, 1, 2, 2)
    assert second.first_id == first.last_id + 1
    assert verified.seals == [first, second]
    assert (verified.entries, verified.unsealed) == (4, 1)


async def test_a_seal_waits_for_entries_that_are_being_written(trail: PostgresAudit, owner: Any, database: str) -> None:
    """An entry with a lower number that appeared behind a seal would look like one that was put there."""
    other = await asyncpg.connect(database)
    async with owner.transaction():
        await owner.execute(INSERT_AUDIT, *audit_columns([ENTRY]))
        await other.execute(INSERT_AUDIT, *audit_columns([ENTRY]))
        with pytest.raises(Exception, match="does not answer"):  # it does not wait for long
            await trail.seal()
    await other.close()
    sealed = await trail.seal()

    assert sealed is not None
    assert sealed.entries == 3
    await trail.verify()


async def test_several_processes_seal_one_after_the_other(trail: PostgresAudit) -> None:
    await trail.write([ENTRY] * 20)
    seals = [seal for seal in await asyncio.gather(*(trail.seal() for _ in range(4))) if seal is not None]

    assert [seal.number for seal in seals] == [1]
    await trail.verify()


EXCHANGE = """
    update audit set id = -id where id in (2, 3);
    update audit set id = case id when -2 then 3 else 2 end where id in (-2, -3)
"""
FORCED = {
    "update audit set who = 'nobody' where id = 2": "entry 2 is not as it was written",
    "update audit set hash = sha256('x') where id = 2": "entry 2 is not as it was written",
    "update audit set at = at - interval '1 hour' where id = 4": "entry 4 is not as it was written",
    "delete from audit where id = 2": "seal 1 covers 3 entries from 1 to 3, and 2 are there",
    "delete from audit where id <= 3": "seal 1 covers 3 entries from 1 to 3, and 0 are there",
    EXCHANGE: "entry 2 is not as it was written",
}


async def test_what_the_owner_changes_by_force_is_found(trail: PostgresAudit, owner: Any) -> None:
    await trail.write([ENTRY, ENTRY])
    await trail.seal()
    await trail.write([ENTRY])
    await owner.execute("alter table audit alter column id drop identity")
    for statement, flaw in FORCED.items():
        forced = owner.transaction()
        await forced.start()
        await owner.execute("alter table audit disable trigger all")
        await owner.execute(statement)
        await owner.execute(
            "alter table audit enable trigger hashed; alter table audit enable always trigger append_only"
        )
        with pytest.raises(Tampered) as found:
            await PostgresAudit(owner).verify()
        await forced.rollback()
        assert str(found.value) == flaw, statement
    assert (await trail.verify()).entries == 4, "and all of that was taken back"


async def test_guards_that_were_taken_away_are_missed(trail: PostgresAudit, owner: Any) -> None:
    await owner.execute("alter table audit disable trigger append_only")

    with pytest.raises(Tampered, match="append-only are gone"):
        await trail.verify()


async def test_an_entry_is_stored_with_its_effect_or_not_at_all(trail: PostgresAudit, owner: Any) -> None:
    effect = owner.transaction()
    await effect.start()
    await owner.execute(INSERT_AUDIT, *audit_columns([ENTRY]))
    await effect.rollback()

    assert await trail.newest(ENTRY.order_id, 10) == []


async def test_whoever_acts_signs() -> None:
    assert done("order.cancel").who == "anonymous"
    token = WHO.set("anna")
    assert done("order.cancel", reason="wrong").who == "anna"
    WHO.reset(token)


async def test_names_that_cannot_be_stored_are_stored_nearly(trail: PostgresAudit) -> None:
    await trail.write(
        [AuditEntry("a\0\ud800" + "x" * 500, "b", detail={"c": "\0\ud800" + "y" * 5000}), AuditEntry("", "b")]
    )
    nobody, odd, _ = await trail.newest(None, 3)

    assert nobody.who == "anonymous"
    assert odd.who.startswith("a\\0\\ud800xxx")
    assert len(odd.detail) < 600
    await trail.verify()


async def test_a_dump_that_was_restored_is_the_same_trail(
    trail: PostgresAudit, database: str, empty: str, tmp_path: Path
) -> None:
    programs, dump = replace(find_programs(tmp_path, tmp_path), user=None), str(tmp_path / "dump.sql")
    await trail.write([ENTRY])
    await trail.seal()
    await trail.write([ENTRY])
    before = await trail.verify()
    await asyncio.to_thread(run, programs, "pg_dump", database, "-f", dump)
    await asyncio.to_thread(run, programs, "psql", "-Xqv", "ON_ERROR_STOP=1", empty, "-f", dump)
    async with open_pool(empty) as pool:
        restored = PostgresAudit(pool)
        assert await restored.verify() == before
        await restored.write([ENTRY])
        await restored.seal()
        assert (await restored.verify()).entries == before.entries + 1


async def test_a_database_that_keeps_text_as_it_comes_hashes_alike(postgres: PostgresServer) -> None:
    name = f"ascii_{uuid7().hex[:8]}"
    await asyncio.to_thread(
        postgres.execute, f"create database {name} template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'"
    )
    await migrate(postgres.dsn_of(name), MIGRATIONS)
    async with open_pool(postgres.dsn_of(name)) as pool:
        await PostgresAudit(pool).write([AuditEntry("Zoë ☃", "order.retry")])
        await PostgresAudit(pool).seal()
        verified = await PostgresAudit(pool).verify()
    await asyncio.to_thread(postgres.execute, f"drop database {name} with (force)")

    assert (verified.entries, verified.unsealed) == (2, 0)
