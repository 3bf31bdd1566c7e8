"""A wrong setting stops the start with one sentence that names it."""

import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from messaging.kafka.settings import KafkaSettings
from messaging.runtime.settings import ServiceSettings
from oms.cli import app
from oms.environment import LogSettings
from oms.process import CannotListen, listen
from order_service.settings import OrderSettings
from tests.cli.commands import oms
from tests.real_parts.order_process import OURS

WRONG = [
    ({"EVENT_PUBLISHER": "foo"}, "EVENT_PUBLISHER", "foo"),
    ({"EVENT_PUBLISHER": ""}, "EVENT_PUBLISHER", "''"),
    ({"ORDER_DATABASE_URL": "x"}, "ORDER_DATABASE_URL", "must be embedded, memory or postgresql://"),
    ({"ORDER_DATABASE_URL": ""}, "ORDER_DATABASE_URL", "must be embedded, memory or postgresql://"),
    ({"COMMIT_CONNECTIONS": "0"}, "COMMIT_CONNECTIONS", "0"),
    ({"COMMIT_BATCH_MAX": "many"}, "COMMIT_BATCH_MAX", "many"),
    ({"COMMIT_QUEUE_MAX": "-1"}, "COMMIT_QUEUE_MAX", "-1"),
    ({"HTTP_KEEP_ALIVE_SECONDS": "0"}, "HTTP_KEEP_ALIVE_SECONDS", "0"),
    ({"HTTP_KEEP_ALIVE_SECONDS": "3601"}, "HTTP_KEEP_ALIVE_SECONDS", "3601"),
    ({"METRICS_PORT": "0"}, "METRICS_PORT", "0"),
    ({"METRICS_PORT": "65536"}, "METRICS_PORT", "65536"),
    ({"METRICS_PORT": "http"}, "METRICS_PORT", "http"),
    ({"METRICS_PORT": ""}, "METRICS_PORT", "''"),
    ({"RELAY_IDLE_TIMEOUT_SECONDS": "0"}, "RELAY_IDLE_TIMEOUT_SECONDS", "0"),
    ({"KAFKA_BOOTSTRAP_SERVERS": ""}, "KAFKA_BOOTSTRAP_SERVERS", "''"),
    ({"KAFKA_BOOTSTRAP_SERVERS": "broker:many"}, "KAFKA_BOOTSTRAP_SERVERS", "must be host:port"),
    ({"KAFKA_BOOTSTRAP_SERVERS": "kafka://broker:9092"}, "KAFKA_BOOTSTRAP_SERVERS", "must be host:port"),
    ({"KAFKA_BOOTSTRAP_SERVERS": "one:9092,,two"}, "KAFKA_BOOTSTRAP_SERVERS", "must be host:port"),
    ({"KAFKA_BOOTSTRAP_SERVERS": "one:9092,a..b:9092"}, "KAFKA_BOOTSTRAP_SERVERS", "a part that is empty or longer"),
    ({"KAFKA_BOOTSTRAP_SERVERS": f"{'x' * 70}.org"}, "KAFKA_BOOTSTRAP_SERVERS", "a part that is empty or longer"),
    ({"KAFKA_BOOTSTRAP_SERVERS": "localhost:99999"}, "KAFKA_BOOTSTRAP_SERVERS", "a port that is not a number from 1"),
    ({"KAFKA_BOOTSTRAP_SERVERS": "localhost:0"}, "KAFKA_BOOTSTRAP_SERVERS", "a port that is not a number from 1"),
    ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL", "TLS"),
    (
        {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": "/nowhere"},
        "KAFKA_SSL_CAFILE, KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE",
        "No such file",
    ),
    (
        {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": __file__},
        "KAFKA_SSL_CAFILE, KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE",
        "no certificate",
    ),
    ({"KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM", "GSSAPI"),
    ({"KAFKA_SSL_CAFILE": "/ca.crt"}, "KAFKA_SECURITY_PROTOCOL", "without it KAFKA_SSL_CAFILE does nothing"),
    ({"KAFKA_SASL_USERNAME": "oms"}, "KAFKA_SECURITY_PROTOCOL", "without it KAFKA_SASL_USERNAME does nothing"),
    (
        {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"},
        "KAFKA_SECURITY_PROTOCOL=SASL_SSL",
        "needs KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL, KAFKA_SASL_OAUTHBEARER_CLIENT_ID and ",
    ),
    (
        {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"},
        "KAFKA_SECURITY_PROTOCOL=SASL_SSL",
        "needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
    ),
    (
        {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_USERNAME": "u"},
        "KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT",
        "needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
    ),
    ({"KAFKA_PREFIX": "a b"}, "KAFKA_PREFIX", "a b"),
    ({"KAFKA_COMPRESSION": "rar"}, "KAFKA_COMPRESSION", "rar"),
    ({"KAFKA_SESSION_TIMEOUT_SECONDS": "1"}, "KAFKA_SESSION_TIMEOUT_SECONDS", "1"),
    ({"STEP_TIMEOUT_SECONDS": "0"}, "STEP_TIMEOUT_SECONDS", "0"),
    ({"LOG_FORMAT": "xml"}, "LOG_FORMAT", "xml"),
    ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL", "LOUD"),
    ({"LOG_LEVEL": ""}, "LOG_LEVEL", "''"),
    ({"DATA_DIR": ""}, "DATA_DIR", "must name a folder"),
    ({"RELAY_IDLE_TIMEOUT_SECONDS": "nan"}, "RELAY_IDLE_TIMEOUT_SECONDS", "nan"),
    ({"STEP_TIMEOUT_SECONDS": "inf"}, "STEP_TIMEOUT_SECONDS", "inf"),
    ({"HTTP_KEEP_ALIVE_SECONDS": "0.5"}, "HTTP_KEEP_ALIVE_SECONDS", "0.5"),
]


@pytest.mark.parametrize(("environment", "name", "what"), WRONG, ids=lambda value: str(value)[:60])
@pytest.mark.parametrize("command", [["serve", "order"], ["up"], ["migrate"], ["topics", "create"]], ids=" ".join)
def test_a_wrong_setting_ends_every_command_with_one_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, command: list[str], environment: dict[str, str], name: str, what: str
) -> None:
    for variable in os.environ:
        if variable.startswith(OURS):
            monkeypatch.delenv(variable)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    ended = CliRunner().invoke(app, command)

    (sentence,) = ended.stderr.splitlines()
    assert ended.exit_code == 2
    assert sentence.startswith(f"{name} ")
    assert what in sentence
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("environment", "name", "what"),
    [
        ({"PAYMENT_GATEWAY": "ftp://bank"}, "PAYMENT_GATEWAY", "ftp://bank"),
        ({"PAYMENT_GATEWAY": "http://"}, "PAYMENT_GATEWAY", "http://"),
        ({"PAYMENT_GATEWAY": "http://bank:many"}, "PAYMENT_GATEWAY", "bank:many"),
        ({"PAYMENT_GATEWAY": "http://bank\t"}, "PAYMENT_GATEWAY", "bank"),
        ({"PAYMENT_GATEWAY": "https://bank/pay?account=7"}, "PAYMENT_GATEWAY", "account=7"),
        (
            {"PAYMENT_GATEWAY": "http://bank", "PAYMENT_GATEWAY_KEY": "key"},
            "PAYMENT_GATEWAY",
            "must be an https:// address for PAYMENT_GATEWAY_KEY",
        ),
        (
            {"PAYMENT_GATEWAY": "https://oms:word@bank", "PAYMENT_GATEWAY_KEY": "key"},
            "PAYMENT_GATEWAY",
            "and PAYMENT_GATEWAY_KEY is set: use one",
        ),
        ({"PAYMENT_GATEWAY_CAFILE": "/nowhere"}, "PAYMENT_GATEWAY_CAFILE,", "must be certificates"),
        ({"AUTH_JWKS_CAFILE": "/nowhere"}, "AUTH_JWKS_CAFILE", "must be certificates"),
        ({"HTTP_TLS_CERTFILE": "/nowhere"}, "HTTP_TLS_CERTFILE,", "must be certificates"),
        ({"HTTP_TLS_KEYFILE": "/nowhere"}, "HTTP_TLS_KEYFILE", "need HTTP_TLS_CERTFILE"),
        ({"SIMULATED_LIMIT": "a lot"}, "SIMULATED_LIMIT", "a lot"),
        ({"SIMULATED_LIMIT": "NaN"}, "SIMULATED_LIMIT", "NaN"),
        ({"SIMULATED_FAILURE_RATE": "nan"}, "SIMULATED_FAILURE_RATE", "nan"),
        ({"SIMULATED_DELAY_SECONDS": "-inf"}, "SIMULATED_DELAY_SECONDS", "inf"),
        ({"PAYMENT_GATEWAY_TIMEOUT_SECONDS": "nan"}, "PAYMENT_GATEWAY_TIMEOUT_SECONDS", "nan"),
        ({"PAYMENT_CALLS_AT_ONCE": "1.5"}, "PAYMENT_CALLS_AT_ONCE", "1.5"),
        ({"PAYMENT_RECOVERY_SECONDS": "soon"}, "PAYMENT_RECOVERY_SECONDS", "soon"),
        ({"PAYMENT_DATABASE_URL": "x"}, "PAYMENT_DATABASE_URL", "must be embedded, memory or postgresql://"),
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "OTEL_TRACES_EXPORTER", "jaeger"),
        ({"OTEL_TRACES_SAMPLER_ARG": "2"}, "OTEL_TRACES_SAMPLER_ARG", "2"),
        ({"OTEL_TRACES_SAMPLER_ARG": "nan"}, "OTEL_TRACES_SAMPLER_ARG", "nan"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT", "must be an address"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ({"TRACE_MESSAGES": "parent"}, "TRACE_MESSAGES", "parent"),
    ],
)
def test_each_service_checks_its_own(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], name: str, what: str
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    ended = CliRunner().invoke(app, ["serve", "payment"])

    (sentence,) = ended.stderr.splitlines()
    assert (ended.exit_code, sentence.split()[0]) == (2, name)
    assert what in sentence


def test_samples_are_for_the_inventory() -> None:
    ended = CliRunner().invoke(app, ["serve", "payment", "--samples"], env={"COLUMNS": "200"})

    assert ended.exit_code == 2
    assert "--samples is for the inventory" in ended.stderr


def test_every_wrong_setting_has_its_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENT_PUBLISHER", "foo")
    monkeypatch.setenv("ORDER_DATABASE_URL", "x")

    ended = CliRunner().invoke(app, ["up"])

    assert [line.split()[0] for line in ended.stderr.splitlines()] == ["EVENT_PUBLISHER", "ORDER_DATABASE_URL"]


@pytest.mark.parametrize(
    "environment",
    [
        {"KAFKA_SASL_PASSWORD": "hunter2", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL"},
        {"ORDER_DATABASE_URL": "mysql://oms:hunter2@db/orders"},
        {"ORDER_DATABASE_URL": "postgresql://oms:hunter2/5@db/orders"},
        {"ORDER_DATABASE_URL": "postgresql://oms:hunter2#5@db/orders"},
        {"ORDER_DATABASE_URL": "postgresql://oms:hunter2?5@db/orders"},
        {"ORDER_DATABASE_URL": "postgresql://[hunter2@db/orders"},
        {"PAYMENT_GATEWAY": "ftp://oms:hunter2@bank/pay"},
        {"PAYMENT_GATEWAY": "https://oms:hunter2@bank:many"},
        {"PAYMENT_GATEWAY": "ftp://oms:hunter2/5@bank"},
        {"EVENT_PUBLISHER": "kafka://oms:hunter2@broker"},
    ],
    ids=str,
)
def test_a_password_is_never_printed(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    monkeypatch.delenv("KAFKA_SASL_USERNAME", raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    ended = CliRunner().invoke(app, ["migrate"])

    assert ended.exit_code == 2
    assert "hunter2" not in ended.output


async def test_a_real_process_says_it_without_a_traceback(tmp_path: Path) -> None:
    ended = await oms(tmp_path, "serve", "order", EVENT_PUBLISHER="foo")

    assert ended.code == 2
    assert ended.errors == "EVENT_PUBLISHER Input should be 'in-process', 'logging' or 'kafka' (it is 'foo')\n"
    assert ended.output == ""


@pytest.mark.parametrize("roles", ["api,cook", "", ",", "api,", "api,,relay", "api relay"])
def test_an_unknown_role_is_told_which_there_are(roles: str) -> None:
    ended = CliRunner().invoke(app, ["serve", "order", "--roles", roles], env={"COLUMNS": "200"})

    assert ended.exit_code == 2
    assert "roles are api, relay" in ended.stderr
    assert repr(roles) in ended.stderr


@pytest.mark.parametrize("roles", ["api,api", "relay,api,RELAY"])
def test_a_role_that_is_named_twice_is_a_mistake(roles: str) -> None:
    ended = CliRunner().invoke(app, ["serve", "order", "--roles", roles], env={"COLUMNS": "200"})

    assert ended.exit_code == 2
    assert "each role is given once" in ended.stderr


@pytest.mark.parametrize("roles", ["relay", "consumer", "Consumer", "api,consumer", "api,relay,consumer"])
def test_a_role_that_could_only_reach_its_own_process_does_not_start(
    monkeypatch: pytest.MonkeyPatch, roles: str
) -> None:
    monkeypatch.setenv("EVENT_PUBLISHER", "in-process")

    ended = CliRunner().invoke(app, ["serve", "order", "--roles", roles])

    (sentence,) = ended.stderr.splitlines()
    assert ended.exit_code == 2
    assert sentence.startswith("EVENT_PUBLISHER=in-process does not reach other processes,")


@pytest.mark.parametrize(
    ("written", "level"),
    [("warning", "WARNING"), ("Warning", "WARNING"), ("WARN", "WARNING"), (" debug ", "DEBUG"), ("Error", "ERROR")],
)
def test_a_level_is_a_level_in_any_case(monkeypatch: pytest.MonkeyPatch, written: str, level: str) -> None:
    monkeypatch.setenv("LOG_LEVEL", written)

    assert LogSettings().log_level == level


def test_so_is_every_other_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, written in {
        "LOG_FORMAT": "JSON",
        "EVENT_PUBLISHER": "Kafka",
        "KAFKA_SECURITY_PROTOCOL": "ssl",
        "KAFKA_SASL_MECHANISM": "scram-sha-256",
    }.items():
        monkeypatch.setenv(name, written)

    assert LogSettings().log_format == "json"
    assert ServiceSettings().event_publisher == "kafka"
    assert (KafkaSettings().security_protocol, KafkaSettings().sasl_mechanism) == ("SSL", "SCRAM-SHA-256")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://oms:p%23s@db:5432/orders",
        "postgres://db/orders",
        "postgresql:///orders?host=/var/run",
        "postgresql://oms@[::1]:5432,db2:5433/orders?target_session_attrs=read-write",
    ],
)
def test_an_address_of_a_database_may_be_written_in_many_ways(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ORDER_DATABASE_URL", url)

    assert OrderSettings().order_database_url == url


async def test_a_port_that_is_taken_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = await oms(tmp_path, "up", "--port", port, ORDER_DATABASE_URL="memory")

    assert ended.code == 1
    assert ended.errors.splitlines()[-1].startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert "Traceback" not in ended.errors


@pytest.mark.parametrize("host", ["nosuch.invalid", "a..b", "ä..b"])
def test_so_is_a_host_that_cannot_be_listened_on(host: str) -> None:
    with pytest.raises(CannotListen) as refused:
        listen(host, 8000)

    sentence = str(refused.value)
    assert sentence.startswith(f"cannot listen on {host}:8000: ")
    assert sentence.endswith("; choose another with --host and --port")
    assert "Unknown error" not in sentence
    assert "while attempting" not in sentence
