"""API keys: `oms_{id}_{secret}`. The database has only their hashes.

A secret has 256 random bits, so a plain SHA-256 protects it: there is no list of likely ones to try.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from http_api.access.key_ring import KeyRing
from http_api.access.refusal import NOT_VALID, Unauthenticated
from shared_kernel.caller import Caller

PREFIX = "oms_"
FORM = re.compile(r"oms_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
_EXPIRED = "Authorization has an API key that has expired: get a new one"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is stored. `good_until` is on this process's monotonic clock; None means for ever."""

    digest: bytes
    caller: Caller
    good_until: float | None = None
    is_revoked: bool = False


def new_key(key_id: bytes, secret: str) -> str:
    """The text of a key, made of 8 random bytes and of `secrets.token_urlsafe(32)`."""
    return f"{PREFIX}{key_id.hex()}_{secret}"


def digest_of(key: str) -> bytes:
    """The hash that is stored."""
    return hashlib.sha256(key.encode()).digest()


class ApiKeys:
    """Verifies API keys, in a time that does not depend on how much of one is right."""

    def __init__(self, ring: KeyRing[StoredKey], seconds: Callable[[], float] = time.monotonic) -> None:
        self._ring = ring
        self._seconds = seconds

    async def caller_of(self, text: str) -> Caller:
        """The caller whose key this is. Raises Unauthenticated, CannotAuthenticate."""
        form = FORM.fullmatch(text)
        key = await self._ring.find(form[1]) if form else None
        if form is None or key is None or not hmac.compare_digest(key.digest, digest_of(text)):
            raise Unauthenticated(NOT_VALID)
        if key.is_revoked:
            raise Unauthenticated(NOT_VALID, reason="the API key is revoked", key=form[1])
        if key.good_until is not None and self._seconds() >= key.good_until:
            raise Unauthenticated(_EXPIRED, reason="the API key has expired", key=form[1])
        return key.caller
