"""A middleware that keeps one caller from taking the service from the others."""

import asyncio
import math
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from http_api.access.current import CALLER
from http_api.access.limits import RateLimit, TooMany
from http_api.errors import error_response
from http_api.request_context import ANSWER

_PAUSE: Final = 0.25
_MOST_PAUSES: Final = 1000


class LimitCallers:
    """It stands behind `Authenticate`. Answers say what is left, as draft-ietf-httpapi-ratelimit-headers has it.

    A refusal waits for `pause` seconds. Otherwise a caller who does not heed refusals could take the processor with
    them, which costs the others as much as orders do. At most `most_pauses` refusals wait at a time.
    """

    def __init__(
        self, app: ASGIApp, limit: RateLimit, *, pause: float = _PAUSE, most_pauses: int = _MOST_PAUSES
    ) -> None:
        self._app = app
        self._limit = limit
        self._policy = (b"ratelimit-policy", limit.limits.policy)
        self._pause = pause
        self._pauses_left = most_pauses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = CALLER.get().name
        use = self._limit.begin(name)
        if isinstance(use, TooMany):
            await self._refuse(use, scope, receive, send)
            return
        left = (b"ratelimit", b'"default";r=%d;t=%d' % (use.left, math.ceil(use.full_in)))
        scope[ANSWER].more_headers = (self._policy, left)
        try:
            await self._app(scope, receive, send)
        finally:
            self._limit.end(name)

    async def _refuse(self, use: TooMany, scope: Scope, receive: Receive, send: Send) -> None:
        if self._pauses_left:
            self._pauses_left -= 1
            try:
                await asyncio.sleep(self._pause)
            finally:
                self._pauses_left += 1
        response = error_response(
            429,
            "Too many requests",
            {"caller": f"{use.sentence}; try again after Retry-After"},
            {"Retry-After": str(math.ceil(use.again_in))},
        )
        scope[ANSWER].more_headers = (self._policy,)
        await response(scope, receive, send)
