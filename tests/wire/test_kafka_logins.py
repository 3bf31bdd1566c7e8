"""Who is let in by a real broker: clients with a password, a token or a certificate, over TLS."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from messaging.kafka.admin import KafkaRefused, as_kafka_refused, open_admin
from messaging.kafka.publisher import open_kafka_publisher
from messaging.kafka.settings import KafkaSettings
from tests.real_parts.authority import Authority
from tests.real_parts.secured_kafka import PASSWORD, SecuredBroker


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
