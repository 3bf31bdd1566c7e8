"""Access as a process uses it: the middleware, and the work in the background that keeps its keys fresh."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import httpx
from starlette.types import ASGIApp

from http_api.access.api_keys import ApiKeys, StoredKey
from http_api.access.authenticate import Authenticate, Note
from http_api.access.key_ring import KeyRing
from http_api.access.limit_callers import LimitCallers
from http_api.access.limits import RateLimit
from http_api.access.settings import Auth, AuthSettings
from messaging.engine.background import every, running

if TYPE_CHECKING:
    from http_api.access.access_tokens import AccessTokens

LoadKeys = Callable[[], Awaitable[Mapping[str, StoredKey]]]
Middleware = Callable[[ASGIApp], ASGIApp]

REVOKED_WITHIN = 10.0
_API_KEYS_KEPT = 60.0
_ISSUER_PAUSE = 10.0
_ISSUER_EVERY = 300.0
_ISSUER_KEPT = 24 * 3600.0


def unchanged(app: ASGIApp) -> ASGIApp:
    """The middleware that asks nobody."""
    return app


@asynccontextmanager
async def access(
    settings: AuthSettings, load_api_keys: LoadKeys | None, note: Note, *, has_callers: bool = True
) -> AsyncIterator[Middleware]:
    """The middleware for these settings. It notes refused access. Its keys are loaded again and again during the
    block. A process without callers fetches no keys of an issuer, and accepts no token."""
    if settings.auth is not Auth.REQUIRED:
        yield unchanged
        return
    async with AsyncExitStack() as stack:
        tokens = await _tokens(stack, settings) if has_callers else None
        api_keys = await _api_keys(stack, load_api_keys) if load_api_keys else None
        limit = RateLimit(settings.limits)
        yield lambda app: Authenticate(
            LimitCallers(app, limit),
            tokens=tokens.caller_of if tokens else None,
            api_keys=api_keys.caller_of if api_keys else None,
            note=note,
        )


async def _tokens(stack: AsyncExitStack, settings: AuthSettings) -> "AccessTokens | None":
    if settings.auth_issuer is None or settings.auth_audience is None or settings.auth_jwks_url is None:
        return None
    from http_api.access.access_tokens import AccessTokens, Rules  # slow to import, and needed here alone
    from http_api.access.jwks import fetch_keys

    client = await stack.enter_async_context(
        httpx.AsyncClient(verify=settings.jwks_tls() or True, timeout=5.0, trust_env=False)
    )
    ring = KeyRing(
        partial(fetch_keys, client, settings.auth_jwks_url),
        source="the issuer's key set",
        pause=_ISSUER_PAUSE,
        keep=_ISSUER_KEPT,
    )
    await stack.enter_async_context(running({"issuer's keys": every(_ISSUER_EVERY, ring.refresh, "issuer's keys")}))
    return AccessTokens(Rules(settings.auth_issuer, settings.auth_audience, settings.auth_leeway_seconds), ring)


async def _api_keys(stack: AsyncExitStack, load: LoadKeys) -> ApiKeys:
    ring = KeyRing(load, source="the database of API keys", pause=1.0, keep=_API_KEYS_KEPT)
    await stack.enter_async_context(running({"API keys": every(REVOKED_WITHIN, ring.refresh, "API keys")}))
    return ApiKeys(ring)
