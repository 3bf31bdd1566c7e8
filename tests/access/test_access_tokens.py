"""Access tokens: which ones are believed, and which are not."""

import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest

from http_api.access.access_tokens import ALGORITHMS, AccessTokens
from http_api.access.jwks import read_keys
from http_api.access.key_ring import KeyRing
from http_api.access.refusal import CannotAuthenticate, Unauthenticated
from shared_kernel.caller import Caller, Scope
from tests.access import issuer
from tests.access.refused_tokens import REFUSED


class Published:
    """The key set as it is published now."""

    def __init__(self, *key_ids: str) -> None:
        self.keys = read_keys(issuer.key_set(*key_ids))
        self.loads = 0
        self.seconds = 0.0

    async def load(self) -> Mapping[str, jwt.PyJWK]:
        self.loads += 1
        return self.keys

    def tokens(self) -> AccessTokens:
        ring = KeyRing(self.load, source="the key set", pause=10.0, keep=100.0, seconds=lambda: self.seconds)
        return AccessTokens(issuer.RULES, ring)


@pytest.mark.parametrize("key_id", issuer.KEYS)
async def test_a_token_names_its_caller_and_its_scopes(key_id: str) -> None:
    token = issuer.token("shop", ["orders:write", "orders:read", "mail:send"], key_id=key_id)

    caller = await Published().tokens().caller_of(token)

    assert caller == Caller("shop", frozenset({Scope.ORDERS_WRITE, Scope.ORDERS_READ}))


def test_every_algorithm_that_is_allowed_is_tried_above() -> None:
    assert {algorithm for _, algorithm in issuer.KEYS.values()} == ALGORITHMS


@pytest.mark.parametrize(
    "said",
    [{"scope": ["orders:write"]}, {"scope": None, "scp": "orders:write"}, {"scope": None, "scp": ["orders:write"]}],
)
async def test_scopes_may_be_a_list_and_may_be_called_scp(said: dict[str, Any]) -> None:
    assert (await Published().tokens().caller_of(issuer.token(**said))).scopes == {Scope.ORDERS_WRITE}


@pytest.mark.parametrize("said", [{"scope": 7}, {"scope": None}, {"scope": [None, {}, 1]}, {"scope": {}}])
async def test_scopes_that_cannot_be_read_are_none(said: dict[str, Any]) -> None:
    assert (await Published().tokens().caller_of(issuer.token(**said))).scopes == set()


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_token_is_refused_that_is(kind: str) -> None:
    with pytest.raises(Unauthenticated, match=r"^Authorization ") as refused:
        await Published().tokens().caller_of(REFUSED[kind])

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("expiry", [10**400, "99999999999"])
async def test_odd_expiries_of_the_issuer_are_understood(expiry: Any) -> None:
    tokens, token = Published().tokens(), issuer.token(exp=expiry)

    assert await tokens.caller_of(token) is await tokens.caller_of(token)


@pytest.mark.parametrize("late", [0, 25])
async def test_the_issuers_clock_may_differ_by_the_leeway(late: int) -> None:
    assert await Published().tokens().caller_of(issuer.token(exp=int(time.time()) - late + 1))


async def test_a_verified_token_is_remembered_until_it_expires() -> None:
    now = [time.time()]
    published = Published()
    tokens = AccessTokens(
        issuer.RULES, KeyRing(published.load, source="s", pause=10.0, keep=100.0, seconds=lambda: 0.0), lambda: now[0]
    )
    token = issuer.token(exp=int(now[0]) + 60)
    first = await tokens.caller_of(token)

    assert await tokens.caller_of(token) is first

    now[0] += 60 + 31
    assert await tokens.caller_of(token) is not first, "it was verified again (by the real clock, which has not moved)"


async def test_a_token_is_refused_as_soon_as_its_key_is_withdrawn() -> None:
    published = Published("r", "e")
    ring = KeyRing(published.load, source="s", pause=10.0, keep=100.0, seconds=lambda: published.seconds)
    tokens, token = AccessTokens(issuer.RULES, ring), issuer.token(key_id="r")
    await tokens.caller_of(token)

    published.keys = read_keys(issuer.key_set("e"))
    published.seconds = 20.0
    await ring.refresh()

    with pytest.raises(Unauthenticated):
        await tokens.caller_of(token)


async def test_a_new_key_of_the_issuer_is_good_at_once() -> None:
    published = Published("r")
    tokens = published.tokens()
    await tokens.caller_of(issuer.token(key_id="r"))

    published.keys = read_keys(issuer.key_set("r", "e"))
    published.seconds = 11.0

    assert await tokens.caller_of(issuer.token(key_id="e"))
    assert await tokens.caller_of(issuer.token(key_id="r"))


async def test_ten_thousand_invented_key_ids_lead_to_one_load_and_harm_nobody() -> None:
    published = Published()
    tokens, good = published.tokens(), issuer.token()
    await tokens.caller_of(good)
    published.seconds = 11.0

    for number in range(10_000):
        with pytest.raises(Unauthenticated):
            await tokens.caller_of(issuer.with_head({"alg": "RS256", "kid": f"k{number}"}))

    assert published.loads == 2, "the first one, and one for all of the invented ids"
    assert await tokens.caller_of(good)


async def test_while_the_keys_were_never_loaded_nobody_is_refused_or_let_in() -> None:
    async def away() -> Mapping[str, jwt.PyJWK]:
        raise ConnectionError("away")

    tokens = AccessTokens(issuer.RULES, KeyRing(away, source="the key set", pause=10.0, keep=100.0))

    with pytest.raises(CannotAuthenticate, match="the key set cannot be read"):
        await tokens.caller_of(issuer.token())
