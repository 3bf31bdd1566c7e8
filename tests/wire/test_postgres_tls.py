"""sslmode=verify-full against a real server with TLS."""

import shutil
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import structlog
from typer.testing import CliRunner

from messaging.ports.changes import StoreUnavailable
from messaging.postgres.address import InvalidAddress
from messaging.postgres.connection import CommitConnection
from messaging.postgres.pool import open_pool
from messaging.postgres.session import connect
from oms.cli import app
from order_service.settings import OrderSettings
from tests.real_parts.authority import Authority
from tests.real_parts.kafka import free_port
from tests.real_parts.postgres_tls import PASSWORD, USER, TlsServer

OWN_SESSION = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"


def url_of(server: TlsServer, ca: Path, *, host: str = "localhost", password: str = PASSWORD, more: str = "") -> str:
    """The address of the server, which verifies everything."""
    at = f"{USER}:{quote(password, safe='')}@{host}:{server.node.port}/postgres"
    return f"postgresql://{at}?sslmode=verify-full&sslrootcert={quote_plus(str(ca))}{more}"


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "stranger")


async def is_encrypted(url: str) -> bool:
    connection = CommitConnection(url)
    try:
        return bool((await connection.fetch(OWN_SESSION))[0][0])
    finally:
        await connection.close()


async def test_sessions_are_encrypted_and_the_server_is_verified(tls_postgres: TlsServer) -> None:
    url = url_of(tls_postgres, tls_postgres.authority.ca)
    assert await is_encrypted(url)
    async with open_pool(url) as pool:
        assert await pool.fetchval(OWN_SESSION)


@pytest.mark.parametrize("command", ["migrate order", "serve order --port PORT", "orders stuck"])
def test_a_server_of_another_authority_is_refused_with_a_sentence(
    tls_postgres: TlsServer, stranger: Authority, command: str
) -> None:
    environment = {"ORDER_DATABASE_URL": url_of(tls_postgres, stranger.ca), "LOG_LEVEL": "ERROR"}
    ended = CliRunner().invoke(
        app, command.replace("PORT", str(free_port())).split(), env=environment | {"EVENT_PUBLISHER": "logging"}
    )
    (sentence,) = ended.stderr.splitlines()
    assert ended.exit_code == 1
    assert sentence.startswith(
        "the certificate of the database is not accepted (unable to get local issuer certificate)"
    )
    assert "sslrootcert must be its authority" in sentence


def test_a_server_with_another_name_is_refused_with_a_sentence(tls_postgres: TlsServer) -> None:
    url = url_of(tls_postgres, tls_postgres.authority.ca, host="127.0.0.1")
    ended = CliRunner().invoke(app, ["migrate", "order"], env={"ORDER_DATABASE_URL": url})
    (sentence,) = ended.stderr.splitlines()
    assert ended.exit_code == 1
    assert "IP address mismatch, certificate is not valid for '127.0.0.1'" in sentence


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("sslmode=verify-full", "name the file of the server's authorities in sslrootcert"),
        ("sslmode=verify-full&sslrootcert=/nowhere", "is not a file that can be read"),
        (f"sslmode=verify-full&sslrootcert={__file__}", "which has no certificates"),
        (f"sslcert={__file__}", "which is no certificate of the key in sslkey"),
    ],
)
def test_an_address_without_usable_certificates_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: str, said: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ended = CliRunner().invoke(app, ["migrate"], env={"ORDER_DATABASE_URL": f"postgresql://db/orders?{wrong}"})
    (sentence,) = ended.stderr.splitlines()
    assert ended.exit_code == 2
    assert sentence.startswith("ORDER_DATABASE_URL ")
    assert said in sentence


async def test_a_changed_certificate_of_the_server_is_verified_without_a_restart(
    tls_postgres: TlsServer, stranger: Authority, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    shutil.copy(tls_postgres.authority.ca, ca)
    url = url_of(tls_postgres, ca)
    open_since_before = CommitConnection(url)
    await open_since_before.fetch("select 1")

    tls_postgres.show(stranger.issue("localhost"))
    try:
        with pytest.raises(StoreUnavailable, match="is not accepted"):
            await is_encrypted(url)
        shutil.copy(stranger.ca, ca)
        assert await is_encrypted(url)
        assert await open_since_before.fetch(OWN_SESSION), "it stays open"
    finally:
        await open_since_before.close()
        tls_postgres.show(tls_postgres.authority.issue("localhost"))


async def test_a_changed_passfile_is_used_without_a_restart(tls_postgres: TlsServer, tmp_path: Path) -> None:
    file = tmp_path / "passfile"
    file.write_text("*:*:*:oms:of yesterday\n")
    file.chmod(0o640)
    options = f"sslmode=verify-full&sslrootcert={tls_postgres.authority.ca}&passfile={file}"
    url = f"postgresql://{USER}@localhost:{tls_postgres.node.port}/postgres?{options}"
    with pytest.raises(InvalidAddress, match=f"chmod 600 {file}"):
        await connect(url)
    file.chmod(0o600)

    with pytest.raises(StoreUnavailable):
        await connect(url)
    file.write_text(f"*:*:*:oms:{PASSWORD}\n")
    assert await is_encrypted(url)


async def test_a_changed_address_in_a_file_is_used_without_a_restart(
    tls_postgres: TlsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "order-database-url"
    file.write_text(url_of(tls_postgres, tls_postgres.authority.ca, password="of yesterday") + "\n")
    monkeypatch.setenv("ORDER_DATABASE_URL_FILE", str(file))
    url = OrderSettings().order_database_url

    with pytest.raises(StoreUnavailable):
        await connect(url)
    file.write_text(url_of(tls_postgres, tls_postgres.authority.ca))
    assert await is_encrypted(url)
    with structlog.testing.capture_logs() as lines:
        file.write_text("nonsense")
        assert await is_encrypted(url), "the address before stays in use"
    assert [line["event"] for line in lines] == ["the changed files are not used"]
