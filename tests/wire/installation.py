"""A whole installation over encrypted wires alone, with all its secrets in files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from oms.services import SERVICES
from tests.real_parts.postgres_tls import PASSWORD, USER, TlsServer
from tests.real_parts.secured_kafka import PASSWORD as KAFKA_PASSWORD
from tests.real_parts.secured_kafka import USER as KAFKA_USER
from tests.real_parts.secured_kafka import SecuredBroker


@contextmanager
def installation(server: TlsServer, broker: SecuredBroker, folder: Path) -> Iterator[dict[str, str]]:
    """The environment of its processes. Its databases are gone afterwards."""
    environment = {
        "EVENT_PUBLISHER": "kafka",
        "KAFKA_BOOTSTRAP_SERVERS": broker.sasl,
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_SASL_USERNAME": KAFKA_USER,
        "KAFKA_SSL_CAFILE": str(broker.authority.ca),
        "KAFKA_PREFIX": "whole.",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_TRACES_SAMPLER_ARG": "1",
        "LOG_LEVEL": "DEBUG",
        "STEP_TIMEOUT_SECONDS": "300",
        **_in_file(folder, "KAFKA_SASL_PASSWORD", KAFKA_PASSWORD),
        **_in_file(folder, "OTEL_EXPORTER_OTLP_HEADERS", "authorization=canary-collector"),
    }
    for service in SERVICES:
        server.execute(f"create database wire_{service} owner {USER} encoding 'UTF8' template template0")
        url = (
            f"postgresql://{USER}:{quote(PASSWORD, safe='')}@localhost:{server.node.port}/wire_{service}"
            f"?sslmode=verify-full&sslrootcert={server.authority.ca}"
        )
        environment |= _in_file(folder, f"{service.upper()}_DATABASE_URL", url)
    yield environment
    for service in SERVICES:
        server.execute(f"drop database wire_{service} with (force)")


def encrypted_sessions(server: TlsServer) -> tuple[int, int]:
    """How many sessions of the installation are encrypted, and how many there are."""
    encrypted, _, all_of_them = server.execute(
        "select count(*) filter (where ssl) || ' ' || count(*) from pg_stat_ssl join pg_stat_activity using (pid) "
        f"where usename = '{USER}'"
    ).partition(" ")
    return int(encrypted), int(all_of_them)


def _in_file(folder: Path, name: str, value: str) -> dict[str, str]:
    file = folder / name.lower()
    file.write_text(f"{value}\n")
    return {f"{name}_FILE": str(file)}
