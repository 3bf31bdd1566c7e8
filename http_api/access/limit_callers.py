"""A middleware that keeps one caller from taking the service from the others."""

import math

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from http_api.access.current import CALLER
from http_api.access.limits import RateLimit, TooMany
from http_api.errors import error_response


class LimitCallers:
    """It stands behind `Authenticate`. Answers say what is left, as draft-ietf-httpapi-ratelimit-headers has it."""

    def __init__(self, app: ASGIApp, limit: RateLimit) -> None:
        self._app = app
        self._limit = limit
        self._policy = (b"ratelimit-policy", limit.limits.policy)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = CALLER.get().name
        use = self._limit.begin(name)
        if isinstance(use, TooMany):
            response = error_response(
                429,
                "Too many requests",
                {"caller": f"{use.sentence}; try again after Retry-After"},
                {"Retry-After": str(math.ceil(use.again_in)), "RateLimit-Policy": self._policy[1].decode()},
            )
            await response(scope, receive, send)
            return
        left = (b"ratelimit", b'"default";r=%d;t=%d' % (use.left, math.ceil(use.full_in)))

        async def send_with_limit(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], self._policy, left]
            await send(message)

        try:
            await self._app(scope, receive, send_with_limit)
        finally:
            self._limit.end(name)
