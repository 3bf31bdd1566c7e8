"""No secret is in a log, an error, a repr, a metric or a trace."""

import base64
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import typer
from pydantic import ValidationError
from typer.testing import CliRunner

from messaging.postgres.address import address_of
from oms.cli import app
from oms.services import SERVICES
from payment_service.settings import PaymentSettings
from tests.real_parts.order_process import ORDER, OURS, OrderProcess
from tests.real_parts.waiting import until
from tests.wire.canaries import ADDRESSES, CANARY, KINDS, SECRETS, leaks, secret_settings

USES_ALL = {
    "EVENT_PUBLISHER": "kafka",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "PLAIN",
    "KAFKA_SASL_USERNAME": "oms",
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_TRACES_SAMPLER_ARG": "1",
    "LOG_LEVEL": "DEBUG",
}
BY_TOKEN = {
    "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
    "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "https://127.0.0.1:1/token",
    "KAFKA_SASL_OAUTHBEARER_CLIENT_ID": "oms",
}
STOPS_WITHIN = 60.0
READ_BY = {"OMS_TOKEN": "load"}
"""The command that reads a secret, where `up` does not."""
COMMANDS = ["migrate", "topics create", "events tail", "status", "orders stuck", "dead-letters list"]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """A canary in every setting that may have a secret."""
    for variable in os.environ:
        if variable.startswith(OURS):
            monkeypatch.delenv(variable)
    environment = {**USES_ALL, **ADDRESSES, **SECRETS, "DATA_DIR": str(tmp_path)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


def test_every_secret_has_a_canary() -> None:
    assert secret_settings() == SECRETS.keys()


def test_a_setting_that_sounds_like_a_secret_is_one() -> None:
    harmless = {"AUTH_JWKS_URL", "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL", *ADDRESSES}
    names = {
        f"{kind.model_config.get('env_prefix', '')}{field}".upper() for kind in KINDS for field in kind.model_fields
    }
    sounds = {name for name in names if {"PASSWORD", "SECRET", "KEY", "TOKEN", "URL", "HEADERS"} & set(name.split("_"))}
    assert sounds - harmless == secret_settings()


@pytest.mark.parametrize("before", ["", "a", "ab", "oms:"])
def test_a_canary_is_found_in_base64(before: str) -> None:
    assert leaks(f"Basic {base64.b64encode(f'{before}{CANARY}x'.encode()).decode()}")


@pytest.mark.usefixtures("planted")
def test_no_repr_of_settings_has_a_secret() -> None:
    for kind in KINDS:
        settings = kind()
        assert not leaks(f"{settings!r} {settings}"), kind
    assert not leaks(repr(address_of(SECRETS["INVENTORY_DATABASE_URL"])))
    gateway = PaymentSettings(payment_gateway="https://oms:canary-@bank", payment_gateway_key=None)
    assert not leaks(repr(gateway))


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("kind", KINDS)
def test_no_error_of_settings_has_a_secret(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "")
    monkeypatch.setenv("KAFKA_SSL_CAFILE", "/nowhere")
    monkeypatch.setenv("HTTP_TLS_KEYFILE", "/nowhere")
    monkeypatch.setenv("AUTH_JWKS_URL", "https://oms:canary-@issuer")
    monkeypatch.setenv("LOG_LEVEL", "canary-")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "canary-collector")
    monkeypatch.setenv("OMS_TOKEN_FILE", "canary-twice")
    with pytest.raises(ValidationError) as error:
        kind()
    assert not leaks(f"{error.value!r} {error.value}")


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ORDER_DATABASE_URL", "canary-"),
        ("ORDER_DATABASE_URL", "canary-:5432"),
        ("ORDER_DATABASE_URL", "oms:canary-@db/orders"),
        ("ORDER_DATABASE_URL", "mysql://oms:canary-@db/orders"),
        ("ORDER_DATABASE_URL", "postgresql://oms:a/canary-@db/orders"),
        ("ORDER_DATABASE_URL", "postgresql://oms:a#canary-@db/orders"),
        ("ORDER_DATABASE_URL", "postgresql://oms:a?canary-@db/orders"),
        ("ORDER_DATABASE_URL", "postgresql://oms:a?canary-=b@db/orders"),
        ("ORDER_DATABASE_URL", "postgresql://oms:a?b=1&canary-=b@db/orders"),
        ("ORDER_DATABASE_URL", "postgresql://oms:a?sslmode=canary-@db/orders"),
        ("ORDER_DATABASE_URL", "postgresql://oms:a@canary-@db/orders"),
        ("ORDER_DATABASE_URL", "postgresql://[canary-@db/orders"),
        ("ORDER_DATABASE_URL", "postgresql://db/orders?password=canary-&sslpasword=x"),
        ("ORDER_DATABASE_URL", "postgresql://db:many/orders?sslpassword=canary-"),
        ("PAYMENT_GATEWAY", "oms:canary-@bank"),
        ("PAYMENT_GATEWAY", "https://oms:canary-@bank/?x"),
        ("KAFKA_BOOTSTRAP_SERVERS", "oms:canary-@broker:9092"),
        ("AUTH_JWKS_URL", "https://oms:canary-@issuer/keys"),
        ("KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL", "https://oms:canary-@tokens/"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "oms:canary-@collector"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "canary-"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=canary-\x01"),
    ],
)
def test_a_wrong_setting_is_not_repeated_where_a_secret_may_be(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    ended = CliRunner().invoke(app, ["up"])
    (sentence,) = ended.stderr.splitlines()
    assert ended.exit_code == 2
    assert sentence.startswith(f"{name} ")
    assert not leaks(ended.output)


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        (b"", "it is empty"),
        (b"\xff canary-", "it is not text"),
        (b"canary-" * 10_000, "it is larger than 65536 bytes"),
    ],
    ids=["missing", "empty", "no text", "large"],
)
def test_a_secret_that_is_not_in_its_file_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.delenv(name)
    monkeypatch.setenv(f"{name}_FILE", str(file))
    ended = CliRunner().invoke(app, [READ_BY.get(name, "up")])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr == f"{name} is not in the file {file}, which {name}_FILE names: {said}\n"


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_is_given_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path))
    ended = CliRunner().invoke(app, [READ_BY.get(name, "up")])
    assert (ended.exit_code, ended.stderr) == (2, f"{name} and {name}_FILE are both set: leave one of them out\n")


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text(f"{SECRETS[name]}\n")
    monkeypatch.delenv(name)
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    for kind in KINDS:
        settings = kind()
        assert not leaks(repr(settings))


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("more", [{}, BY_TOKEN], ids=["password", "token"])
def test_a_command_that_reaches_nobody_prints_no_secret(
    monkeypatch: pytest.MonkeyPatch, command: str, more: dict[str, str]
) -> None:
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    ended = CliRunner().invoke(app, command.split())
    assert ended.exit_code in (0, 1, 3)
    assert not leaks(ended.output)


@pytest.mark.usefixtures("planted")
def test_no_help_has_a_secret() -> None:
    def helps(command: object, path: list[str]) -> Iterator[list[str]]:
        yield path
        for name, each in getattr(command, "commands", {}).items():
            yield from helps(each, [*path, name])

    for path in helps(typer.main.get_command(app), []):
        ended = CliRunner().invoke(app, [*path, "--help"])
        assert ended.exit_code == 0
        assert not leaks(ended.output), path


async def test_a_process_that_reaches_nobody_tells_no_secret(planted: dict[str, str], tmp_path: Path) -> None:
    with OrderProcess(tmp_path, planted) as process:
        async with httpx.AsyncClient(timeout=60, headers={"Authorization": "Bearer canary-caller"}) as client:
            told = [
                (await client.post(f"{process.url}/orders", json=ORDER)).text,
                (await client.post(f"{process.url}/orders?token=canary-caller", content=b"{")).text,
                (await client.get(f"{process.url}/orders/1?token=canary-caller")).text,
                (await client.get(f"{process.url}/health/ready")).text,
                (await client.get(f"{process.url}/metrics")).text,
            ]
        process.send(signal.SIGTERM)
        assert process.wait(STOPS_WITHIN) == 0
    assert "the topics are looked at later" in process.log, "it did try Kafka"
    assert not leaks("\n".join([*told, process.log]))


async def test_a_gateway_that_is_away_tells_no_secret(planted: dict[str, str], tmp_path: Path) -> None:
    alone = {f"{service.upper()}_DATABASE_URL": "memory" for service in SERVICES} | {"EVENT_PUBLISHER": "in-process"}
    alone["PAYMENT_GATEWAY"] = "http://127.0.0.1:1"
    with OrderProcess(tmp_path, planted | alone, "up") as process:
        async with httpx.AsyncClient(timeout=60) as client:
            placed = await client.post(f"{process.url}/orders", json=ORDER)

            async def gateway_was_called() -> bool:
                return "a call to the gateway will be made again" in process.log

            await until(gateway_was_called, "the gateway is called")
            metrics = (await client.get(f"{process.url}/metrics")).text
        process.send(signal.SIGTERM)
        assert process.wait(STOPS_WITHIN) == 0
    assert not leaks("\n".join([placed.text, metrics, process.log]))
