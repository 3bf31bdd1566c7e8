"""Tokens for Kafka: what an OAuth server can do to us, and how often it is asked."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from pydantic import ValidationError
from structlog.testing import capture_logs

from messaging.engine.tls import server_context
from messaging.kafka import oauth
from messaging.kafka.oauth import ClientCredentials, token_provider
from messaging.kafka.settings import KafkaSettings
from tests.real_parts.authority import LOOPBACK, Authority
from tests.real_parts.hostile_server import HostileServer, hostile_server, saying
from tests.wire.canaries import leaks

TOKEN = {"access_token": "abc", "token_type": "Bearer", "expires_in": 300}


class Clock:
    """The time that the tokens see."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def settings_for(url: str, **changed: Any) -> KafkaSettings:
    return KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="OAUTHBEARER",
        sasl_oauthbearer_token_endpoint_url=url,
        sasl_oauthbearer_client_id="oms",
        sasl_oauthbearer_client_secret="canary-client",
        **changed,
    )


def answer(status: str = "200 OK", body: object = TOKEN, more: str = "") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{more}\r\n".encode() + content


async def refusal(server: HostileServer) -> str:
    with pytest.raises(KafkaConnectionError) as refused, capture_logs() as lines:
        await ClientCredentials(settings_for(f"{server.url}/token?tenant=7")).token()
    sentence = str(refused.value)
    assert f"no token from KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL={server.url}/token: " in sentence
    assert not leaks(f"{sentence} {lines}")
    return sentence


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            answer("401 Unauthorized", {"error": "invalid_client", "hint": "canary-"}),
            "it answered 401 (invalid_client)",
        ),
        (answer("400 Bad Request", {"error": "canary-\r\n"}), "it answered 400"),
        (answer("500 Oops", b"<html>canary-</html>"), "it answered 500"),
        (answer("302 Found", b"", "Location: http://127.0.0.1:1/\r\n"), "it answered 302"),
        (answer(body=b"<html>canary-</html>"), "its answer has no valid JSON"),
        (answer(body={}), "its answer has no valid access_token, token_type"),
        (answer(body=TOKEN | {"access_token": "a\x01auth=canary-"}), "its answer has no valid access_token"),
        (answer(body=TOKEN | {"access_token": "a" * 40_000}), "its answer has no valid access_token"),
        (answer(body=TOKEN | {"token_type": "mac"}), "its answer has no valid token_type"),
        (answer(body=TOKEN | {"expires_in": 0}), "its answer has no valid expires_in"),
        (answer(body=b"x" * 100_000), "its answer has more than 65536 bytes"),
        (b"canary- is not HTTP\r\n\r\n", "its answer cannot be read (RemoteProtocolError)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_answer_without_a_token_is_said_in_a_sentence(said: bytes, why: str) -> None:
    async with hostile_server(saying(said)) as server:
        assert (await refusal(server)).partition("/token: ")[2].startswith(why)


async def test_an_answer_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "_ANSWERED_WITHIN", 0.2)

    async def never_ending(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with hostile_server(never_ending) as server:
        assert "it did not answer within" in await refusal(server)


async def test_all_who_wait_share_one_request() -> None:
    async with hostile_server(saying(answer())) as server:
        tokens = ClientCredentials(settings_for(server.url))
        assert await asyncio.gather(*(tokens.token() for _ in range(20))) == ["abc"] * 20
    (request,) = server.requests
    assert "Authorization: Basic b21zOmNhbmFyeS1jbGllbnQ=" in request


def test_a_secret_that_changes_in_its_file_does_not_make_other_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text("first")
    monkeypatch.setenv("KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET_FILE", str(file))
    settings = KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="OAUTHBEARER",
        sasl_oauthbearer_token_endpoint_url="https://localhost:1/token",
        sasl_oauthbearer_client_id="oms",
    )
    tokens = token_provider(settings)
    file.write_text("the second one")
    assert settings.sasl_oauthbearer_client_secret is not None
    assert settings.sasl_oauthbearer_client_secret.get_secret_value() == "the second one"
    assert token_provider(settings) is tokens


async def test_a_token_is_renewed_before_it_ends(clock: Clock) -> None:
    async with hostile_server(saying(answer())) as server:
        tokens = ClientCredentials(settings_for(server.url))
        for now, requests in ((1000.0, 1), (1149.0, 1), (1151.0, 2)):
            clock.now = now
            await tokens.token()
            assert len(server.requests) == requests


async def test_a_token_is_used_to_its_end_while_there_is_no_other(clock: Clock) -> None:
    answers = [answer(), answer("503 Later", b"")]

    async def first_one_then_the_other(writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0) if len(answers) > 1 else answers[0])

    async with hostile_server(first_one_then_the_other) as server:
        tokens = ClientCredentials(settings_for(server.url))
        for clock.now in (1000.0, 1250.0, 1250.5, 1299.0):
            assert await tokens.token() == "abc"
        assert len(server.requests) == 3, "one a second at most"
        clock.now = 1301.0
        with pytest.raises(KafkaConnectionError, match="it answered 503"):
            await tokens.token()


async def test_the_oauth_server_is_verified(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    files = authority.issue("tokens", *LOOPBACK)
    async with hostile_server(saying(answer()), server_context(files.certificate, files.key)) as server:
        trusting = settings_for(server.url, sasl_oauthbearer_cafile=authority.ca)
        assert await ClientCredentials(trusting).token() == "abc"
        for doubting in (settings_for(server.url), settings_for(server.url, sasl_oauthbearer_cafile=stranger.ca)):
            with pytest.raises(KafkaConnectionError, match="certificate verify failed"):
                await ClientCredentials(doubting).token()
    assert len(server.requests) == 1, "the secret is not sent to a server that is not trusted"


@pytest.mark.parametrize(
    "url",
    [
        "http://tokens.example.com/token",
        "ftp://tokens/",
        "https://",
        "tokens",
        "https://u:p@tokens/",
        "http://localhost.example.com/",
        "http://127.0.0.1@tokens.example.com/",
    ],
)
def test_the_secret_is_sent_over_an_encrypted_way_only(url: str) -> None:
    with pytest.raises(ValidationError, match="must be an https:// address"):
        settings_for(url)


@pytest.mark.parametrize("url", ["https://tokens/", "http://127.0.0.1:9/", "http://[::1]:9/", "http://localhost/t?a=b"])
def test_this_machine_is_reached_without_encryption(url: str) -> None:
    assert settings_for(url).uses_tokens


def test_the_authorities_of_the_oauth_server_are_checked_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="KAFKA_SASL_OAUTHBEARER_CAFILE must be certificates"):
        settings_for("https://tokens/", sasl_oauthbearer_cafile=tmp_path / "missing")
