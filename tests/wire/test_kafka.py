"""A real broker with TLS: who is let in, sessions that end, and an order over encrypted wires alone.

One file, because a worker that runs it starts a broker of its own.
"""

import asyncio
import shutil
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from messaging.engine.relay import Relay
from messaging.kafka.admin import KafkaRefused, as_kafka_refused, open_admin
from messaging.kafka.client import client_options
from messaging.kafka.connection import Connection
from messaging.kafka.consumer import deliver_from_kafka
from messaging.kafka.publisher import open_kafka_publisher
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import Topic, create_topics, positions_of
from messaging.memory.outbox import MemoryOutbox
from messaging.ports.message import Message
from messaging.ports.record import Record
from tests.cli.commands import oms
from tests.messaging.messages import key_in, message
from tests.real_parts.authority import LOOPBACK, Authority
from tests.real_parts.order_process import ORDER
from tests.real_parts.postgres_tls import TlsServer
from tests.real_parts.secured_kafka import PASSWORD, REAUTHENTICATE_MS, SecuredBroker
from tests.real_parts.waiting import until
from tests.traces.sink import Sink, sink
from tests.wire.canaries import leaks
from tests.wire.https_process import HttpsProcess, https_client
from tests.wire.installation import encrypted_sessions, installation

TOKEN_SECONDS = 10
SHARDS = 4
CONFIRMED_WITHIN = 240.0  # of a hundred handshakes on a busy machine


@asynccontextmanager
async def client_of(settings: KafkaSettings) -> AsyncIterator[Any]:
    """A client that is in; raises KafkaRefused with the sentence of a command."""
    with as_kafka_refused(settings):
        async with open_admin(settings) as admin:
            yield admin


async def refusal(settings: KafkaSettings) -> str:
    with pytest.raises(KafkaRefused) as refused:
        async with client_of(settings):
            pass
    return str(refused.value)


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "stranger")


@pytest.mark.parametrize("by", [SecuredBroker.by_password, SecuredBroker.by_token, SecuredBroker.by_certificate])
async def test_a_relay_comes_in(secured: SecuredBroker, by: Callable[..., KafkaSettings]) -> None:
    async with open_kafka_publisher(by(secured), "order", 1) as publisher:
        await publisher.last_position()


async def test_a_wrong_password_is_refused(secured: SecuredBroker) -> None:
    sentence = await refusal(secured.by_password(sasl_password="wrong"))
    assert "Authentication failed" in sentence
    assert "wrong" not in sentence


async def test_a_wrong_secret_of_the_oauth_client_is_refused(secured: SecuredBroker) -> None:
    sentence = await refusal(secured.by_token(sasl_oauthbearer_client_secret="wrong"))
    assert "it answered 401 (invalid_client)" in sentence
    assert "wrong" not in sentence


async def test_a_broker_of_another_authority_is_not_trusted(secured: SecuredBroker, stranger: Authority) -> None:
    assert "certificate verify failed" in await refusal(secured.by_password(ssl_cafile=stranger.ca))


async def test_a_broker_with_another_name_is_not_trusted(secured: SecuredBroker) -> None:
    elsewhere = secured.short.replace("localhost", "127.0.0.1")
    assert "IP address mismatch" in await refusal(secured.by_password(bootstrap_servers=elsewhere))


async def test_a_client_without_a_certificate_is_refused(secured: SecuredBroker) -> None:
    assert "does not answer us" in await refusal(secured.by_certificate(ssl_certfile=None, ssl_keyfile=None))


async def test_a_changed_password_is_used_without_a_restart(
    secured: SecuredBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("of yesterday\n")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD_FILE", str(file))
    settings = secured.by_password(sasl_password=None)
    assert "Authentication failed" in await refusal(settings)
    file.write_text(PASSWORD + "\n")
    async with client_of(settings):
        pass


async def test_changed_certificates_are_used_without_a_restart(secured: SecuredBroker, stranger: Authority) -> None:
    mine = stranger.issue("mine")
    settings = secured.by_certificate(ssl_certfile=mine.certificate, ssl_keyfile=mine.key, ssl_cafile=stranger.ca)
    assert "certificate verify failed" in await refusal(settings), "the broker is of another authority"
    shutil.copy(secured.authority.ca, stranger.ca)
    assert "does not answer us" in await refusal(settings), "the client is of another authority"
    shutil.copy(secured.client.certificate, mine.certificate)  # for a moment the key does not fit
    assert "does not answer us" in await refusal(settings), "the certificate before stays in use"
    shutil.copy(secured.client.key, mine.key)
    async with client_of(settings):
        pass


def by_password(secured: SecuredBroker) -> tuple[KafkaSettings, float]:
    return secured.by_password(bootstrap_servers=secured.short), REAUTHENTICATE_MS / 1000


def by_token(secured: SecuredBroker) -> tuple[KafkaSettings, float]:
    secured.tokens.lifetime = TOKEN_SECONDS  # from now on
    # A path of its own, because tokens are shared by all clients with the same settings.
    return secured.by_token(sasl_oauthbearer_token_endpoint_url=f"{secured.tokens.url}/short"), TOKEN_SECONDS


@pytest.mark.parametrize("by", [by_password, by_token])
async def test_a_relay_and_a_consumer_outlive_their_sessions_under_load(
    secured: SecuredBroker, by: Callable[[SecuredBroker], tuple[KafkaSettings, float]]
) -> None:
    settings, session = by(secured)
    settings = settings.model_copy(update={"prefix": f"{uuid.uuid4().hex}."})
    await create_topics(settings, [Topic("order-events", 2), positions_of("order")])
    arrived: list[Record] = []
    outbox, sent = MemoryOutbox(), list[Message]()

    async def take(records: Sequence[Record]) -> None:
        arrived.extend(records)

    async def all_there() -> bool:
        return len({record.event_id for record in arrived}) == len(sent)

    relay = Relay("order", outbox, partial(open_kafka_publisher, settings, "order"))
    with capture_logs() as lines:
        async with deliver_from_kafka(settings, "sessions", ["order-events"], take):
            publishing = asyncio.create_task(relay.run())
            try:
                sent.extend(await _put_load_on(outbox, seconds=1.2 * session))
                await until(all_there, "every event arrives")
            finally:
                publishing.cancel()
                with suppress(asyncio.CancelledError):
                    await publishing
        refused = [line for line in lines if line["log_level"] in ("warning", "error")]

    times = Counter(record.event_id for record in arrived)
    assert times == dict.fromkeys((message.event_id for message in sent), 1), "each event comes once"
    assert not refused, "nothing had to begin again"


async def test_a_connection_of_a_loop_that_has_hung_is_not_used_again(
    secured: SecuredBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker would cut it off, and no timer has run that says so."""
    settings, session = by_password(secured)
    options = client_options(settings)
    host, _, port = options.pop("bootstrap_servers").rpartition(":")
    connection, loop = Connection(host, int(port), **options), asyncio.get_running_loop()
    await connection.connect()
    try:
        assert connection.connected()
        now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: now + session)
        assert not connection.connected()
    finally:
        monkeypatch.undo()
        connection.close()


async def _put_load_on(outbox: MemoryOutbox, *, seconds: float) -> list[Message]:
    """Small commits for every shard, one after another, longer than a session."""
    keys = [key_in(shard) for shard in range(SHARDS)]
    sent: list[Message] = []
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        commit = [message(key, len(sent)) for key in keys]
        outbox.add(commit)
        sent += commit
        await asyncio.sleep(0.02)
    return sent


async def test_an_order_is_confirmed_over_encrypted_wires_alone_and_no_secret_is_told(
    tls_postgres: TlsServer, secured: SecuredBroker, tmp_path: Path
) -> None:
    with installation(tls_postgres, secured, tmp_path) as environment, sink() as collector:
        await _take_an_order(tls_postgres, secured, tmp_path, environment, collector)


async def _take_an_order(
    server: TlsServer, secured: SecuredBroker, folder: Path, secrets: dict[str, str], collector: Sink
) -> None:
    environment = secrets | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    migrated = await oms(folder, "migrate", **environment)
    assert migrated.code == 0, migrated.errors

    files, shop = secured.authority.issue("server", *LOOPBACK), secured.authority.issue("shop")
    clients = {"HTTP_TLS_CLIENT_CAFILE": str(secured.authority.ca)}
    with HttpsProcess(folder, files, environment | clients, "up") as process:
        async with https_client(secured.authority, shop) as client:
            placed = await client.post(f"{process.url}/orders", json=ORDER, headers={"Authorization": "canary-caller"})
            assert placed.status_code == 201, placed.text
            address = f"{process.url}{placed.headers['Location']}"

            async def is_confirmed() -> bool:
                return str((await client.get(address, headers={"Prefer": "wait=5"})).json()["status"]) == "CONFIRMED"

            await until(is_confirmed, "the order is confirmed", CONFIRMED_WITHIN)
            order = await client.get(address)
            told = [placed.text, order.text, *[await _refused(client, process.url, path) for path in ("", "/x", "?x")]]
            told.append((await client.get(f"{process.metrics_url}/metrics")).text)
        encrypted, all_of_them = encrypted_sessions(server)
        assert encrypted == all_of_them > 0
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
