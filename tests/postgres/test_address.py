"""The options that libpq knows in a URL: they work, or one sentence names them before anything connects."""

import socket
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from messaging.ports.changes import StoreUnavailable
from messaging.postgres.address import InvalidAddress, address_of
from messaging.postgres.connection import CommitConnection
from messaging.postgres.session import connect
from oms.cli import app
from tests.postgres.conftest import name_of
from tests.real_parts.authority import Authority
from tests.real_parts.kafka import free_port
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.tcp import over_tcp

URL = "postgresql://user:secret@db.example:5432/orders"

REFUSED = [
    (f"{URL}?sslmod=require", "the option sslmod, which is not supported"),
    (f"{URL}?sslmode=yes", "sslmode=yes, which is not supported: use disable or allow or prefer or require"),
    (f"{URL}?sslrootcert=system", "sslrootcert=system, which is not a file"),
    (f"{URL}?sslcert=/nowhere/client.crt", "sslcert=/nowhere/client.crt, which is not a file"),
    (f"{URL}?target_session_attrs=standby", "target_session_attrs=standby, which is not supported: use read-write"),
    (f"{URL}?connect_timeout=soon", "connect_timeout=soon, which is not a whole number"),
    (f"{URL}?keepalives_idle=-1", "keepalives_idle=-1, which is not a whole number"),
    (f"{URL}?keepalives=yes", "keepalives=yes, which is not supported: use 0 or 1"),
    (f"{URL}?channel_binding=require", "channel_binding=require, which is not supported: use prefer or disable"),
    (f"{URL}?gssencmode=require", "gssencmode=require"),
    (f"{URL}?require_auth=scram-sha-256", "the option require_auth, which is not supported"),
    (f"{URL}?load_balance_hosts=random", "load_balance_hosts=random"),
    (f"{URL}?hostaddr=10.0.0.1", "the option hostaddr"),
    (f"{URL}?service=shop", "the option service, which is not supported"),
    (f"{URL}?replication=true", "the option replication"),
    (f"{URL}?client_encoding=latin1", "client_encoding=latin1"),
    (f"{URL}?search_path=oms", "the option search_path, which is not supported"),
    (f"{URL}?options=-csynchronous_commit%3Doff", "must not set synchronous_commit in its options"),
    (f"{URL}?options=-c%20TIMEZONE%3DUTC", "must not set TIMEZONE in its options"),
    (f"{URL}?options=work_mem%3D8MB", "options that are not written as -c name=value"),
    (f"{URL}?options=-c%20%27", "options that are not written as -c name=value"),
    (f"{URL}?sslmode", "its options written as name=value"),
    ("postgresql:///orders?host=a,b,c&port=1,2", "3 hosts and 2 ports"),
    ("postgresql://a:5432,b:nine/orders", "a port that is not a number"),
    ("postgresql://a:99999/orders", "a port that is not a number"),
    ("postgresql://u@db..example/orders", "a host name with a part that is empty or longer than 63 letters"),
    (f"postgresql://u@a,{'x' * 70}.example:5432/orders", "a host name with a part that is empty or longer"),
    ("postgresql:///orders?host=db,.example", "a host name with a part that is empty or longer"),
    ("postgresql://user:p@ss@host/orders", "written as %40"),
    ("postgresql://user:p#ss@host/orders", "written as %40 and %23"),
    ("postgresql://user:pass/word@host/orders", "a port that is not a number"),
    ("postgresql://[::1/orders", "must be postgresql://"),
    ("postgresql:orders", "must be embedded, memory or postgresql://"),
]


@pytest.mark.parametrize(("url", "sentence"), REFUSED)
@pytest.mark.parametrize("command", [["serve", "order"], ["migrate", "order"], ["dead-letters", "list", "-s", "order"]])
def test_what_cannot_be_used_is_named_before_anything_connects(
    monkeypatch: pytest.MonkeyPatch, command: list[str], url: str, sentence: str
) -> None:
    monkeypatch.setenv("ORDER_DATABASE_URL", url)
    monkeypatch.setenv("EVENT_PUBLISHER", "logging")

    ended = CliRunner().invoke(app, command)

    assert ended.exit_code == 2
    (said,) = ended.stderr.splitlines()
    assert said.startswith("ORDER_DATABASE_URL ")
    assert sentence in said
    assert "secret" not in said, "a password is nobody's business"
    assert "word" not in said or "password" in said


@pytest.mark.parametrize("port", ["abc", "0", "65536", "1,2"])
@pytest.mark.parametrize("place", ["host", "", "host:5432,other"])
def test_a_port_of_the_environment_is_a_number_where_it_is_used(
    monkeypatch: pytest.MonkeyPatch, port: str, place: str
) -> None:
    monkeypatch.setenv("PGPORT", port)

    with pytest.raises(InvalidAddress, match="leaves the port to PGPORT, which is not a number from 1 to 65535"):
        address_of(f"postgresql://{place}/of_pgport")
    assert address_of("postgresql://host:5432/of_pgport")
    assert address_of("postgresql:///of_pgport?host=/tmp&port=5432")


@pytest.mark.parametrize(
    ("variable", "option"), [("PGSSLMODE", "sslmode=require"), ("PGSSLNEGOTIATION", "sslnegotiation=postgres")]
)
def test_a_value_of_the_environment_is_checked_where_it_is_used(
    monkeypatch: pytest.MonkeyPatch, variable: str, option: str
) -> None:
    monkeypatch.setenv(variable, "foo")

    with pytest.raises(InvalidAddress, match=f"and {variable}=foo is not supported: use "):
        address_of(f"postgresql://host/of_{variable}")
    assert address_of(f"postgresql://host/of_{variable}?{option}")


async def test_a_host_of_the_environment_that_cannot_be_a_name_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db..example")

    with pytest.raises(StoreUnavailable):
        await connect("postgresql://user@/orders")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user@host/orders",
        "postgresql://user@db.example./orders",
        "postgresql://user@dätenbank.example/orders",
        "postgres://user@host/orders",
        "postgresql:///orders",
        "postgresql://",
        f"{URL}?channel_binding=prefer&gssencmode=disable&sslsni=1&load_balance_hosts=disable&client_encoding=utf8",
        f"{URL}?sslmode=require&krbsrvname=postgres&ssl_min_protocol_version=TLSv1.3",
        "postgresql://user:p%40ss%23word@[::1]:5433/orders",
        "postgresql://%2Fvar%2Frun%2Fpostgresql/orders",
        "postgresql://u@/orders?host=/var/run/postgresql&port=5433",
    ],
)
def test_what_libpq_takes_and_changes_nothing_is_taken(url: str) -> None:
    assert len(address_of(url).hosts) == 1


@pytest.mark.parametrize(
    ("url", "is_readable"),
    [
        ("postgresql://u:p@db.example.com/orders", True),
        ("postgresql://u:p@db.example.com/orders?sslmode=prefer", True),
        ("postgresql://u:p@localhost,db.example.com/orders", True),
        ("postgresql://u:p@/orders?host=db.example.com", True),
        ("postgresql://u:p@db.example.com/orders?sslmode=require", False),
        ("postgresql://u:p@127.0.0.1,[::1],localhost/orders", False),
        ("postgresql://u:p@%2Fvar%2Frun%2Fpostgresql/orders", False),
        ("postgresql:///orders?host=/var/run/postgresql", False),
        ("postgresql:///orders", False),
    ],
)
def test_who_may_read_on_the_way_is_known(url: str, is_readable: bool) -> None:
    assert address_of(url).is_readable is is_readable


@pytest.mark.parametrize(
    ("variable", "value", "url", "is_readable"),
    [
        ("PGSSLMODE", "verify-full", "postgresql://u:p@db.example.com/by_variable", False),
        ("PGSSLMODE", "verify-full", "postgresql://u:p@db.example.com/by_option?sslmode=prefer", True),
        ("PGHOST", "db.example.com", "postgresql:///by_host", True),
    ],
)
def test_the_variables_that_asyncpg_reads_count_where_the_url_says_nothing(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, url: str, is_readable: bool
) -> None:
    monkeypatch.setenv(variable, value)

    assert address_of(url).is_readable is is_readable


def test_every_option_that_is_ours_to_do_arrives() -> None:
    address = address_of(
        f"{URL}?application_name=shop&connect_timeout=3&keepalives_idle=20&keepalives_interval=5&keepalives_count=2"
        "&tcp_user_timeout=9000&options=-c%20work_mem%3D8MB%20--search_path%3Doms,%5C%20public"
    )

    assert (address.application_name, address.connect_timeout) == ("shop", 3.0)
    alive = address.keep_alive
    assert (alive.enabled, alive.idle, alive.interval, alive.count, alive.user_timeout) == (True, 20, 5, 2, 9000)
    assert address.settings == {"work_mem": "8MB", "search_path": "oms, public"}


def test_of_several_hosts_one_that_takes_writes_is_wanted_unless_the_url_says_otherwise() -> None:
    several = address_of("postgresql://u:p@a:1,b,[::1]:3/orders")
    own = address_of("postgresql://a,b/orders?target_session_attrs=any")

    assert several.hosts == tuple(
        f"postgresql://u:p@{host}/orders?target_session_attrs=read-write" for host in ("a:1", "b", "[::1]:3")
    )
    assert own.hosts == tuple(f"postgresql://{host}/orders?target_session_attrs=any" for host in "ab")
    assert address_of("postgresql:///orders?host=/x,b&port=1,2").hosts == (
        "postgresql:///orders?target_session_attrs=read-write&host=%2Fx&port=1",
        "postgresql:///orders?target_session_attrs=read-write&host=b&port=2",
    )


def test_a_single_host_is_wanted_to_take_writes_too_because_its_name_may_point_to_a_standby() -> None:
    assert address_of(URL).hosts == (f"{URL}?target_session_attrs=read-write",)
    assert address_of(f"{URL}?target_session_attrs=any").hosts == (f"{URL}?target_session_attrs=any",)


async def test_the_options_work_on_a_real_connection(database: str) -> None:
    async with over_tcp(database) as (host, port):
        url = (
            f"postgresql://postgres@{host}:{port}/{name_of(database)}?application_name=shop&connect_timeout=5"
            "&keepalives_idle=20&keepalives_interval=5&keepalives_count=2&sslmode=prefer&options=-cwork_mem%3D8MB"
        )
        session = await connect(url)
        found = session._transport.get_extra_info("socket")
        try:
            assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert [found.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [20, 5, 2]
            assert await session.fetchval("show application_name") == "shop"
            assert await session.fetchval("show work_mem") == "8MB"
        finally:
            session.terminate()


async def test_of_several_hosts_the_one_that_answers_and_takes_writes_is_used(
    postgres: PostgresServer, database: str
) -> None:
    name = name_of(database)
    async with over_tcp(database) as (host, port):
        session = CommitConnection(
            f"postgresql://postgres@127.0.0.1:{free_port()},{host}:{port}/{name}?connect_timeout=5"
        )
        assert await session.fetch("select 1")

        admin = await asyncpg.connect(postgres.dsn)
        await admin.execute(f"alter database {name} set default_transaction_read_only = on")
        await session.close()
        with pytest.raises(StoreUnavailable):
            await session.fetch("select 1")
        await admin.execute(f"alter database {name} reset default_transaction_read_only")
        await admin.close()

        assert await session.fetch("select 1"), "it is found again without anyone's help"
        await session.close()


def test_a_file_that_is_there_is_taken(tmp_path: Path) -> None:
    there = Authority(tmp_path, "root").ca

    assert address_of(f"{URL}?sslrootcert={there}")
    with pytest.raises(InvalidAddress):
        address_of(f"{URL}?sslrootcert={tmp_path}/other.crt")
