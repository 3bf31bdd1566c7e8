"""The key set of an issuer, which is another company's server."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from http_api.access import jwks
from http_api.access.jwks import MAX_BYTES, MAX_KEYS, fetch_keys, read_keys
from http_api.access.key_ring import KeyRing
from tests.access import issuer


def _set(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def test_the_keys_are_read_by_their_ids() -> None:
    assert set(read_keys(issuer.key_set())) == {"r", "e", "d"}


async def test_keys_that_come_again_as_they_were_are_the_same_keys() -> None:
    """What was verified with them stays verified."""
    bodies = iter([issuer.key_set(), issuer.key_set(), _set(issuer.jwk("e"))])
    now = itertools.count(0, 100)

    async def load() -> Mapping[str, jwt.PyJWK]:
        return read_keys(next(bodies))

    ring = KeyRing(load, source="the issuer", pause=1, keep=1000, seconds=lambda: next(now))
    await ring.refresh()
    first = ring.keys
    await ring.refresh()
    assert ring.keys is first
    await ring.refresh()
    assert set(ring.keys) == {"e"}


def _weak() -> dict[str, Any]:
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505  it is to be refused
    return json.loads(RSAAlgorithm.to_jwk(small.public_key())) | {"kid": "weak"}  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        issuer.jwk("r") | {"kid": "enc", "use": "enc"},
        issuer.jwk("r") | {"kid": 7},
        issuer.jwk("r") | {"kid": "hs", "alg": "HS256"},
        issuer.jwk("r") | {"kid": "broken", "n": "!"},
        issuer.jwk("e") | {"kid": "crv", "crv": "secp256k1", "alg": "ES256K"},
        {key: value for key, value in issuer.jwk("r").items() if key != "kid"},
        _weak(),
        None,
        [],
        "r",
    ],
    ids=[
        *("symmetric", "for encryption", "an id that is no text", "symmetric algorithm", "broken", "another curve"),
        *("without an id", "too short", "null", "a list", "a text"),
    ],
)
def test_keys_that_cannot_verify_tokens_are_left_out(key: Any) -> None:
    assert set(read_keys(_set(key, issuer.jwk("e")))) == {"e"}


@pytest.mark.parametrize(
    "body",
    [b"", b"no JSON", b"[]", b"{}", b'{"keys": {}}', _set(), _set(*[{}] * (MAX_KEYS + 1)), b"[" * 100_000, b"\xff"],
    ids=lambda body: str(body[:20]),
)
def test_what_is_no_key_set_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_keys(body)


def _client(answer: httpx.Response) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer))


async def test_the_key_set_is_fetched() -> None:
    async with _client(httpx.Response(200, stream=httpx.ByteStream(issuer.key_set("r")))) as client:
        assert set(await fetch_keys(client, "https://issuer.example/keys")) == {"r"}


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(302, headers={"Location": "http://169.254.169.254/"}),
        httpx.Response(200, stream=httpx.ByteStream(b" " * (MAX_BYTES + 1))),
    ],
    ids=["an error", "a redirect", "too much"],
)
async def test_an_answer_is_refused_that_is(answer: httpx.Response) -> None:
    async with _client(answer) as client:
        with pytest.raises(ValueError, match="answered"):
            await fetch_keys(client, "https://issuer.example/keys")


async def test_an_issuer_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "FETCH_WITHIN", 0.05)

    async def hang(_: httpx.Request) -> httpx.Response:
        import asyncio

        await asyncio.Event().wait()
        raise AssertionError("never set")

    async with httpx.AsyncClient(transport=httpx.MockTransport(hang)) as client:
        with pytest.raises(TimeoutError):
            await fetch_keys(client, "https://issuer.example/keys")
