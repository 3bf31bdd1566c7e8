"""The public keys of an issuer: a JSON Web Key Set (RFC 7517) at a URL."""

import asyncio
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import httpx
import jwt
import structlog

from http_api.access.access_tokens import ALGORITHMS
from messaging.engine.foreign_answers import AS_IT_IS, body_of

MAX_BYTES = 256 * 1024
MAX_KEYS = 100
FETCH_WITHIN = 5.0
_SMALLEST_RSA = 2048

log = structlog.get_logger("access")


async def fetch_keys(client: httpx.AsyncClient, url: str) -> Mapping[str, jwt.PyJWK]:
    """The keys by their ids. Redirects are not followed. Raises httpx.HTTPError, TimeoutError, ValueError."""
    async with (
        asyncio.timeout(FETCH_WITHIN),
        client.stream("GET", url, headers=AS_IT_IS, follow_redirects=False) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            raise ValueError(f"{url} answered {answer.status_code}")
        body = await body_of(answer, MAX_BYTES)
        if len(body) > MAX_BYTES:
            raise ValueError(f"{url} answered more than {MAX_BYTES} bytes")
    return read_keys(body)


@lru_cache(maxsize=1)
def read_keys(body: bytes) -> Mapping[str, jwt.PyJWK]:
    """The keys in a key set that can verify tokens: asymmetric, strong enough, meant for signatures, with an id. The
    same set gives the same keys, so what they have verified stays verified. Raises ValueError."""
    try:
        document = json.loads(body)
    except RecursionError:
        raise ValueError("the key set is nested too deeply") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError(f"a key set has a list of at most {MAX_KEYS} keys")
    keys = {entry["kid"]: key for entry in entries if (key := _usable(entry))}
    if not keys:
        raise ValueError(f"the key set has no key for {', '.join(sorted(ALGORITHMS))}")
    return keys


def _usable(entry: Any) -> jwt.PyJWK | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str) or entry.get("use", "sig") != "sig":
        return None
    if entry.get("kty") not in ("RSA", "EC", "OKP"):  # a symmetric key in public is nobody's secret
        return None
    try:
        key = jwt.PyJWK.from_dict(entry)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        log.warning("a key of the issuer cannot be used", key=entry["kid"][:64], error=type(error).__name__)
        return None
    is_weak = entry["kty"] == "RSA" and key.key.key_size < _SMALLEST_RSA
    return key if key.algorithm_name in ALGORITHMS and not is_weak else None
