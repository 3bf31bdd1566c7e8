"""OAuth 2 access tokens: JWTs (RFC 9068) that an issuer has signed."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from http_api.access.key_ring import KeyRing
from http_api.access.refusal import NOT_VALID, Unauthenticated
from shared_kernel.caller import Caller, is_caller_name, scopes_of

MAX_TOKEN = 8 * 1024
MAX_REMEMBERED = 10_000
REMEMBERED_SECONDS = 3600.0
ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
_TYPES = {None, "jwt", "at+jwt", "application/at+jwt"}  # an id token of some issuers says `id_token+jwt`

_SENTENCES: Mapping[type[Exception], str] = {
    jwt.ExpiredSignatureError: "Authorization has an access token that has expired: get a new one",
    jwt.ImmatureSignatureError: "Authorization has an access token that is not valid yet",
    jwt.InvalidAudienceError: "Authorization has an access token for another audience",
    jwt.InvalidIssuerError: "Authorization has an access token of another issuer",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What a token must say. `leeway` is how many seconds the issuer's clock may differ from ours."""

    issuer: str
    audience: str
    leeway: float


@dataclass(frozen=True, slots=True)
class _Remembered:
    caller: Caller
    expires_at: float
    keys: object
    """The keys that it was verified with. A token is verified again when they have changed."""


class AccessTokens:
    """Verifies tokens. A verified one is remembered until it expires, because verifying costs more than an order."""

    def __init__(self, rules: Rules, ring: KeyRing[jwt.PyJWK], now: Callable[[], float] = time.time) -> None:
        self._rules = rules
        self._ring = ring
        self._now = now
        self._remembered: dict[bytes, _Remembered] = {}

    async def caller_of(self, token: str) -> Caller:
        """The caller that the token names. Raises Unauthenticated, CannotAuthenticate."""
        if len(token) > MAX_TOKEN:
            raise Unauthenticated(f"Authorization must have an access token of at most {MAX_TOKEN} characters")
        digest = hashlib.sha256(token.encode()).digest()
        known = self._remembered.get(digest)
        if known is not None and known.keys is self._ring.keys and self._now() < known.expires_at:
            return known.caller
        self._remembered.pop(digest, None)
        key = await self._ring.find(_key_id(token))
        if key is None:
            raise Unauthenticated(NOT_VALID)
        claims = self._verified(token, key)
        caller = _caller(claims)
        while len(self._remembered) >= MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        expires_at = min(int(claims["exp"]) + int(self._rules.leeway), self._now() + REMEMBERED_SECONDS)
        self._remembered[digest] = _Remembered(caller, expires_at, self._ring.keys)
        return caller

    def _verified(self, token: str, key: jwt.PyJWK) -> Mapping[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._rules.audience,
                issuer=self._rules.issuer,
                leeway=self._rules.leeway,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.InvalidTokenError as error:
            raise Unauthenticated(_SENTENCES.get(type(error), NOT_VALID)) from None


def _key_id(token: str) -> str:
    """The id of the key, in a head that nobody has verified yet."""
    try:
        head = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise Unauthenticated(NOT_VALID) from None
    kind, key_id, algorithm = head.get("typ"), head.get("kid"), head.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or not isinstance(key_id, str) or "crit" in head:
        raise Unauthenticated(NOT_VALID)
    if (kind.lower() if isinstance(kind, str) else kind) not in _TYPES:
        raise Unauthenticated("Authorization must have an access token, and not a token of another type")
    return key_id


def _caller(claims: Mapping[str, Any]) -> Caller:
    name = claims["sub"]
    if not is_caller_name(name):
        raise Unauthenticated(NOT_VALID)
    said = claims.get("scope", claims.get("scp", ""))
    words = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
    return Caller(name, scopes_of(words))
