"""Tokens for SASL/OAUTHBEARER, which an OAuth server gives for the client's credentials (RFC 6749, 4.4)."""

import asyncio
import re
import time
from functools import lru_cache
from typing import Final
from urllib.parse import quote_plus

import httpx
import structlog
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError
from pydantic import BaseModel, Field, ValidationError

from messaging.engine.foreign_answers import JSON_AS_IT_IS, body_of
from messaging.kafka.settings import KafkaSettings

_ANSWERED_WITHIN: Final = 5.0
_LARGEST: Final = 64 * 1024
_RENEWED_AFTER: Final = 0.5
"""Of the time that the server gives a token. A session ends with its token, so it has the other half at least."""
_AGAIN_AFTER: Final = 1.0
_ERROR = re.compile(r'"error"\s*:\s*"([a-z_]{1,40})"')

log = structlog.get_logger("kafka")


class _Answer(BaseModel):
    """A successful answer of the OAuth server. The token must fit into a SASL message."""

    # The bound is apart from the pattern: compiled into it, it would take a tenth of a process's start.
    access_token: str = Field(pattern=r"^[A-Za-z0-9._~+/=-]+$", max_length=32768, repr=False)
    token_type: str = Field(pattern=r"(?i)^bearer$")
    expires_in: int = Field(60, ge=1)


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """The token of all clients of a process. It is fetched once for all who wait for it, and again when half of its
    time is over. The secret is read at each fetch."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._token = ""
        self._refusal = ""
        self._asked_again_at = self._expires_at = 0.0
        self._fetching: asyncio.Task[None] | None = None

    async def token(self) -> str:
        """See AbstractTokenProvider. Raises KafkaConnectionError with a sentence when there is no valid token. aiokafka
        tries again after it, as after every failure to connect."""
        if time.monotonic() >= self._asked_again_at:
            if self._fetching is None:
                self._fetching = asyncio.create_task(self._fetch(), name="token for Kafka")
                self._fetching.add_done_callback(self._fetched)
            await asyncio.shield(self._fetching)
        if time.monotonic() >= self._expires_at:
            raise KafkaConnectionError(self._refusal)
        return self._token

    def _fetched(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        """Fetch a token. If there is none, the last one is used to its end, and a second passes before the next
        request."""
        asked_at = time.monotonic()
        try:
            answer = await self._ask()
        except _NoToken as error:
            log.warning("no new token for Kafka", error=str(error))
            self._refusal, self._asked_again_at = str(error), time.monotonic() + _AGAIN_AFTER
        else:
            self._token = answer.access_token
            self._asked_again_at = asked_at + _RENEWED_AFTER * answer.expires_in
            self._expires_at = asked_at + answer.expires_in

    async def _ask(self) -> _Answer:
        settings = self._settings
        endpoint = settings.sasl_oauthbearer_token_endpoint_url or ""
        form = {"grant_type": "client_credentials"}
        if settings.sasl_oauthbearer_scope:
            form["scope"] = settings.sasl_oauthbearer_scope
        try:
            async with (
                asyncio.timeout(_ANSWERED_WITHIN),
                httpx.AsyncClient(verify=settings.token_context() or True, timeout=_ANSWERED_WITHIN) as client,
                client.stream(
                    "POST", endpoint, data=form, auth=_credentials(settings), headers=JSON_AS_IT_IS
                ) as response,
            ):
                status, content = response.status_code, await body_of(response, _LARGEST)
        except TimeoutError:
            raise _refused(endpoint, f"it did not answer within {_ANSWERED_WITHIN:.0f} s") from None
        except httpx.ConnectError as error:
            raise _refused(endpoint, str(error)) from None
        except (httpx.HTTPError, OSError) as error:  # its text may repeat what the server has sent
            raise _refused(endpoint, f"its answer cannot be read ({type(error).__name__})") from None
        if len(content) > _LARGEST:
            raise _refused(endpoint, f"its answer has more than {_LARGEST} bytes")
        text = content.decode(errors="replace")
        if status != httpx.codes.OK:
            code = _ERROR.search(text)
            raise _refused(endpoint, f"it answered {status}{f' ({code[1]})' if code else ''}")
        try:
            return _Answer.model_validate_json(text)
        except ValidationError as error:
            wrong = ", ".join(str(problem["loc"][0]) if problem["loc"] else "JSON" for problem in error.errors())
            raise _refused(endpoint, f"its answer has no valid {wrong}") from None


def _credentials(settings: KafkaSettings) -> httpx.BasicAuth:
    """The client's id and secret in the form of RFC 6749, 2.3.1, which encodes them before HTTP does."""
    secret = settings.sasl_oauthbearer_client_secret
    assert secret is not None, "checked at the start"  # noqa: S101
    name = settings.sasl_oauthbearer_client_id or ""
    return httpx.BasicAuth(quote_plus(name), quote_plus(secret.get_secret_value()))


class _NoToken(Exception):
    """The OAuth server gave no token. The text says why."""


def _refused(endpoint: str, why: str) -> _NoToken:
    without_query = endpoint.partition("?")[0]
    return _NoToken(f"no token from KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL={without_query}: {why}")


@lru_cache(maxsize=16)
def token_provider(settings: KafkaSettings) -> ClientCredentials:
    """The tokens of these settings."""
    return ClientCredentials(settings)
