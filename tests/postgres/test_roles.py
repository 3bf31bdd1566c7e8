"""The database roles that `oms roles` makes: a whole system runs with them, and none can do what it must not."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest
import structlog

from http_api.access.key_store import add_key, load_keys, revoke_key
from http_api.running_service import RunningService
from messaging.brokerless.in_process import InProcessBroker
from messaging.ports.failures import Failure
from messaging.ports.record import Record
from messaging.postgres.audit import PostgresAudit
from messaging.postgres.failures import PostgresFailures
from messaging.postgres.pool import open_pool
from messaging.postgres.queue_figures import queue_figures
from messaging.postgres.rights import roles
from messaging.runtime.database import bring_up_to_date, grant_rights
from messaging.runtime.settings import Role
from oms.services import SERVICES
from shared_kernel.caller import Caller
from tests.http.conftest import client_of
from tests.real_parts.order_process import ORDER
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.query import rows

DEADLINE = 60.0
APPLICATION = frozenset({Role.API, Role.CONSUMER})
RELAY = frozenset({Role.RELAY})

# What nobody but a superuser may do.
_NOBODY = [
    "create role intruder",
    "create database elsewhere",
    "alter system set fsync = off",
    "select pg_read_file('/etc/passwd')",
    "copy orders to program 'true'",
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres' and datname = 'roles_order'",
    "update audit set who = 'nobody'",
    "delete from audit",
    "truncate audit",
    "delete from audit_seals",
    "update api_keys set revoked_at = null",
    "update api_keys set revoked_at = now() + interval '1 day'",
]
# What nobody but the migrator may do.
_NOT_MIGRATOR = [
    "set role {prefix}_migrator",
    "create table intruder (id integer)",
    "create temporary table intruder (id integer)",
    "create schema intruder",
    "create function intruder() returns void language sql as ''",
    "alter table orders add column intruder integer",
    "alter table orders disable trigger all",
    "alter table audit disable trigger append_only",
    "drop trigger append_only on audit",
    "drop table orders",
    "drop function keep_inbox()",
    "truncate orders",
    "delete from orders",
    "create index intruder on orders (version)",
    "create trigger intruder before insert on orders for each row execute function audit_hash()",
    "drop table inbox_default",
    "truncate inbox",
    "select keep_inbox_of('2000-01-01')",
    "update alembic_version set version_num = '0001'",
    "insert into audit_seals select 1, now(), 1, 1, 1, sha256('x')",
    "insert into audit (who, action, outcome, at) values ('a', 'b', 'done', '2000-01-01')",
    "insert into audit (who, action, outcome, role) values ('a', 'b', 'done', 'postgres')",
    "insert into audit (who, action, outcome, hash) values ('a', 'b', 'done', sha256('x'))",
    "update outbox set topic = 'another'",
    "update inbox set event_id = gen_random_uuid()",
    "update timelines set timeline = 2",
    "delete from api_keys",
    "update api_keys set scopes = '{{operator}}'",
    "update api_keys set caller = 'another'",
    "update api_keys set digest = sha256('x')",
    "update api_keys set expires_at = null",
    "update api_keys set scopes = '{{operator}}', revoked_at = null",
    "insert into api_keys (id, digest, caller, scopes, created_at) values ('a', sha256('b'), 'c', '{{}}', now())",
]
_ADD_KEY = "insert into api_keys (id, digest, caller, scopes) values ('a', sha256('b'), 'c', '{{}}')"
_REVOKED_KEY = """
    insert into api_keys (id, digest, caller, scopes, revoked_at)
    values ('00000000000000ff', sha256('b'), 'leaver', '{}', now())
"""
DENIED = {
    "migrator": _NOBODY,
    "app": [
        *_NOBODY,
        *_NOT_MIGRATOR,
        "select * from audit",
        "select * from audit_seals",
        "delete from outbox",
        "delete from dead_letters",
        "delete from unknown_orders",
        _ADD_KEY,
        "update api_keys set revoked_at = now() where revoked_at is null",
    ],
    "relay": [
        *_NOBODY,
        *_NOT_MIGRATOR,
        "select id from orders",
        "update orders set version = 2",
        "insert into outbox (shard, event_id, topic, key, headers, value) select 0, null, 'a', 'b', null, null",
        "select * from inbox",
        "insert into inbox values (gen_random_uuid())",
        "select * from parked",
        "select * from dead_letters",
        "select * from audit",
        "select keep_inbox()",
        "select * from seal_audit()",
        _ADD_KEY,
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = '{prefix}_app'",
    ],
    "operator": [*_NOBODY, *_NOT_MIGRATOR, "delete from outbox", "select keep_inbox()", "select * from seal_audit()"],
}


class _Installation:
    """The databases of all services with their roles."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    def dsn(self, service: str, role: str) -> str:
        """The address of a service's database for one of its roles."""
        return self._server.dsn_of(f"roles_{service}").replace("//postgres:", f"//oms_{service}_{role}:")

    def owner(self, service: str) -> str:
        """The same for the superuser."""
        return self._server.dsn_of(f"roles_{service}")


@pytest.fixture(scope="module")
def installation(postgres: PostgresServer) -> _Installation:
    """Made as an operator makes it: the roles by a superuser, and then the schema by the migrator."""
    made = _Installation(postgres)
    for name in SERVICES:
        postgres.execute(f"create database roles_{name}")
        asyncio.run(_set_up(made, name))
    return made


async def _set_up(installation: _Installation, name: str) -> None:
    service, migrator = SERVICES[name], installation.dsn(name, "migrator")
    await _run(installation.owner(name), roles(f"oms_{name}", service.tables, name))
    await bring_up_to_date(migrator, service.migrations)
    await _run(migrator, _REVOKED_KEY)
    assert await grant_rights(migrator, service.tables) == f"oms_{name}"


async def _run(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("role", DENIED)
async def test_a_role_cannot_do_what_it_must_not(installation: _Installation, role: str) -> None:
    others = [await asyncpg.connect(dsn) for dsn in (installation.dsn("order", "app"), installation.owner("order"))]
    connection = await asyncpg.connect(installation.dsn("order", role))
    statements = [statement.format(prefix="oms_order") for statement in DENIED[role]]
    answers = {statement: await _answer(connection, statement) for statement in statements}
    for each in (connection, *others):
        await each.close()

    assert answers == dict.fromkeys(statements, "42501")


async def _answer(connection: Any, statement: str) -> str:
    """The SQLSTATE of an error."""
    try:
        await connection.execute(statement)
    except asyncpg.PostgresError as error:
        return str(error.sqlstate)
    return "done"


@pytest.mark.parametrize("role", DENIED)
async def test_a_role_cannot_enter_the_database_of_another_service(installation: _Installation, role: str) -> None:
    dsn = installation.dsn("order", role).replace("/roles_order?", "/roles_payment?")

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(dsn)


async def test_a_relay_may_end_a_hanging_relay(installation: _Installation) -> None:
    hanging, other = [await asyncpg.connect(installation.dsn("order", "relay")) for _ in range(2)]

    assert await other.fetchval("select pg_terminate_backend($1)", hanging.get_server_pid())
    await other.close()
    await hanging.close()


async def test_an_operator_may_do_what_operators_do(installation: _Installation) -> None:
    order = SERVICES["order"]
    assert order.read_figures is not None
    async with open_pool(installation.dsn("order", "operator")) as pool:
        failures, trail = PostgresFailures(pool), PostgresAudit(pool)
        await failures.bury(Failure(Record("inventory-events", 0, 1, "key", {}, b"?"), "it is not JSON", 1))
        await failures.replay([letter.id for letter in await failures.dead_letters()])
        await failures.retry()
        await add_key(pool, "0" * 16, b"\0" * 32, Caller("shop", frozenset()), None)
        assert await revoke_key(pool, "0" * 16) == "shop"
        await queue_figures(pool)
        await order.read_figures(pool)
        await trail.verify()
        entries = await trail.newest(None, 4)
        await failures.forget((await failures.parked())[0].id)

    assert {entry.role for entry in entries} == {"oms_order_operator"}, "the database names the role"
    assert [entry.action for entry in entries[2:]] == ["parked.retry", "dead-letter.replay"]


@pytest.mark.parametrize("role", ["app", "relay", "operator"])
async def test_whoever_answers_requests_may_read_the_hashes_of_api_keys(installation: _Installation, role: str) -> None:
    async with open_pool(installation.dsn("order", role)) as pool:
        await load_keys(pool)


async def test_all_services_take_an_order_to_confirmed_with_these_roles(installation: _Installation) -> None:
    with structlog.testing.capture_logs() as logs:
        async with _running(installation) as services, client_of(services["order", "app"].app) as api:
            async with client_of(services["inventory", "app"].app) as inventory:
                body = {"price": {"amount": "12.50", "currency": "EUR"}, "onHand": 100}
                assert (await inventory.put("/products/p1", json=body)).status_code == 201
            order_id = (await api.post("/orders", json=ORDER)).json()["orderId"]
            async with asyncio.timeout(DEADLINE):
                while (order := (await api.get(f"/orders/{order_id}?", headers={"Prefer": "wait=10"})).json())[
                    "status"
                ] == "PENDING":
                    await asyncio.sleep(0)
            await _until_kept(installation)
            ready = {key: await _ready(service) for key, service in services.items()}

    assert order["status"] == "CONFIRMED"
    assert set(ready.values()) == {200}, ready
    assert not [each for each in logs if each["log_level"] in ("warning", "error")]


@asynccontextmanager
async def _running(installation: _Installation) -> AsyncIterator[Mapping[tuple[str, str], RunningService]]:
    """The api and the consumer of every service with its application role, and its relay with its own."""
    broker = InProcessBroker()
    async with AsyncExitStack() as stack:
        services: dict[tuple[str, str], Any] = {}
        for name, service in SERVICES.items():
            for role, does in (("app", APPLICATION), ("relay", RELAY)):
                values: dict[str, Any] = {f"{name}_database_url": installation.dsn(name, role)}
                settings = service.settings(**values)
                services[name, role] = await stack.enter_async_context(service.start(settings, broker, does))
        await stack.enter_async_context(broker.delivering())
        yield services


async def _until_kept(installation: _Installation) -> None:
    """Wait until the consumers have made the inbox's partitions, and sealed what was written when they started."""
    query = """
        select (select count(*) from pg_inherits where inhparent = 'inbox'::regclass) > 10
               and exists (select from audit_seals)
    """
    async with asyncio.timeout(DEADLINE):
        for name in SERVICES:
            while not (await rows(installation.owner(name), query))[0][0]:
                await asyncio.sleep(0.05)


async def _ready(service: RunningService) -> int:
    async with client_of(service.app) as client:
        await client.get("/metrics")
        return (await client.get("/health/ready")).status_code


async def test_a_role_that_lacks_a_right_is_not_ready(installation: _Installation) -> None:
    order, broker = SERVICES["order"], InProcessBroker()
    for role, does, without in (
        ("relay", RELAY, "delete on outbox"),
        ("app", APPLICATION, "delete on inbox"),
        ("app", APPLICATION, "insert (who, action, outcome, order_id, detail) on audit"),
    ):
        settings = order.settings(order_database_url=installation.dsn("order", role))  # type: ignore[call-arg]
        async with order.start(settings, broker, does) as service:
            before = await _ready(service)
            await _run(installation.owner("order"), f"revoke {without} from oms_order_{role}")
            during = await _ready(service)
            await grant_rights(installation.dsn("order", "migrator"), order.tables)
            afterwards = await _ready(service)
        assert (before, during, afterwards) == (200, 503, 200), without


async def test_the_roles_are_made_in_an_installation_that_was_there_and_its_role_goes_on(
    database: str,
) -> None:
    """Whoever owned the tables keeps working until everything logs in with the new roles."""
    order = SERVICES["order"]
    name = database.partition("?")[0].rpartition("/")[2]
    await _run(
        database,
        f"create role before_roles login; grant all on database {name} to before_roles; "
        "grant all on schema public to before_roles",
    )
    for (table,) in await rows(database, "select tablename from pg_tables where schemaname = 'public'"):
        await _run(database, f"alter table {table} owner to before_roles")
    for _ in range(2):
        await _run(database, roles("late", order.tables, "order"))
    owners = await rows(database, "select distinct tableowner from pg_tables where schemaname = 'public'")
    before = database.replace("//postgres:", "//before_roles:")
    await _run(before, "insert into inbox values (gen_random_uuid()); alter table orders add column later integer")
    late = database.replace("//postgres:", "//late_app:")
    await _run(late, "insert into inbox values (gen_random_uuid())")

    assert [tuple(row) for row in owners] == [("late_migrator",)]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _run(late, "alter table orders add column later integer")
