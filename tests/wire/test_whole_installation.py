"""An order over encrypted wires alone: HTTPS with certificates, PostgreSQL with verify-full, Kafka with a password, all
secrets in files. What its processes print and tell has none of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from oms.services import SERVICES
from tests.cli.commands import oms
from tests.real_parts.authority import LOOPBACK
from tests.real_parts.order_process import ORDER
from tests.real_parts.postgres_tls import PASSWORD, USER, TlsServer
from tests.real_parts.secured_kafka import PASSWORD as KAFKA_PASSWORD
from tests.real_parts.secured_kafka import USER as KAFKA_USER
from tests.real_parts.secured_kafka import SecuredBroker
from tests.real_parts.waiting import until
from tests.traces.sink import Sink, sink
from tests.wire.canaries import leaks
from tests.wire.https_process import HttpsProcess, https_client

SESSIONS = f"""
    select count(*) filter (where ssl) || ' of ' || count(*) from pg_stat_ssl join pg_stat_activity using (pid)
    where usename = '{USER}'
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """The environment of an installation whose secrets are in `folder`."""

    folder: Path
    environment: dict[str, str]


def _secret(folder: Path, name: str, value: str) -> dict[str, str]:
    file = folder / name.lower()
    file.write_text(f"{value}\n")
    return {f"{name}_FILE": str(file)}


@pytest.fixture
def collector() -> Iterator[Sink]:
    with sink() as kept:
        yield kept


@pytest.fixture
def installation(
    tls_postgres: TlsServer, secured: SecuredBroker, collector: Sink, tmp_path: Path
) -> Iterator[Installation]:
    environment = {
        "EVENT_PUBLISHER": "kafka",
        "KAFKA_BOOTSTRAP_SERVERS": secured.sasl,
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_SASL_USERNAME": KAFKA_USER,
        "KAFKA_SSL_CAFILE": str(secured.authority.ca),
        "KAFKA_PREFIX": "whole.",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_TRACES_SAMPLER_ARG": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "LOG_LEVEL": "DEBUG",
        "STEP_TIMEOUT_SECONDS": "300",
    }
    environment |= _secret(tmp_path, "KAFKA_SASL_PASSWORD", KAFKA_PASSWORD)
    environment |= _secret(tmp_path, "OTEL_EXPORTER_OTLP_HEADERS", "authorization=canary-collector")
    for service in SERVICES:
        tls_postgres.execute(f"create database wire_{service} owner {USER} encoding 'UTF8' template template0")
        url = (
            f"postgresql://{USER}:{quote(PASSWORD, safe='')}@localhost:{tls_postgres.node.port}/wire_{service}"
            f"?sslmode=verify-full&sslrootcert={tls_postgres.authority.ca}"
        )
        environment |= _secret(tmp_path, f"{service.upper()}_DATABASE_URL", url)
    yield Installation(tmp_path, environment)
    for service in SERVICES:
        tls_postgres.execute(f"drop database wire_{service} with (force)")


async def test_an_order_is_confirmed_and_no_secret_is_told(
    installation: Installation, tls_postgres: TlsServer, secured: SecuredBroker, collector: Sink
) -> None:
    folder, environment = installation.folder, installation.environment
    migrated = await oms(folder, "migrate", **environment)
    assert migrated.code == 0, migrated.errors

    server, shop = secured.authority.issue("server", *LOOPBACK), secured.authority.issue("shop")
    clients = {"HTTP_TLS_CLIENT_CAFILE": str(secured.authority.ca)}
    with HttpsProcess(folder, server, environment | clients, "up") as process:
        async with https_client(secured.authority, shop) as client:
            placed = await client.post(f"{process.url}/orders", json=ORDER, headers={"Authorization": "canary-caller"})
            assert placed.status_code == 201, placed.text
            address = f"{process.url}{placed.headers['Location']}"

            async def is_confirmed() -> bool:
                return str((await client.get(address, headers={"Prefer": "wait=5"})).json()["status"]) == "CONFIRMED"

            await until(is_confirmed, "the order is confirmed")
            order = await client.get(address)
            told = [placed.text, order.text, *[await _refused(client, process.url, path) for path in ("", "/x", "?x")]]
            told.append((await client.get(f"{process.metrics_url}/metrics")).text)
        encrypted, _, all_of_them = tls_postgres.execute(SESSIONS).partition(" of ")
        assert encrypted == all_of_them != "0"
        await collector.until(lambda sink: len(sink.spans) > 5, "spans")
    told += [migrated.output, migrated.errors, process.log, repr(collector.spans)]
    assert collector.authorization[0] == "canary-collector"
    assert not [leak for text in told for leak in leaks(text)]


async def _refused(client: httpx.AsyncClient, url: str, path: str) -> str:
    """What a request says that fails."""
    answer = await client.post(
        f"{url}/orders{path}",
        content=b"{canary",
        headers={"Authorization": "Bearer canary-caller", "Cookie": "session=canary-caller"},
        params={"access_token": "canary-caller"},
    )
    assert answer.is_client_error, answer.text
    return answer.text
