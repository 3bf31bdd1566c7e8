"""The method and the path of a request, in the form that routes are matched with.

Routes match decoded paths, in which an escaped slash of a name (`kg%2Fs`) would be a separator. So each segment of a
path is decoded except for its `/` and `%`, and `decoded_name` decodes these in a name.
"""

from collections.abc import Awaitable
from http import HTTPStatus
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from http_api.errors import error_response

_NOT_UTF_8 = "the path must be UTF-8, with every other character percent-encoded"


class RequestLine:
    """An ASGI middleware. `/orders/` is treated as `/orders`, and HEAD is answered like GET, without a body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Not a coroutine itself: that would cost every request one more."""
        raw = scope.get("raw_path") or b""
        if b"%" in raw or raw.endswith(b"/"):
            try:
                scope["path"] = _matched(raw.decode())
            except UnicodeDecodeError:
                refused = error_response(HTTPStatus.BAD_REQUEST, "Validation failed", {"path": _NOT_UTF_8})
                return refused(scope, receive, send)
        if scope["type"] == "http" and scope["method"] == "HEAD":
            return self._head(scope, receive, send)
        return self._app(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, send_head)
        finally:
            if "route" in as_get:
                scope["route"] = as_get["route"]  # the label of the metrics


def _matched(raw: str) -> str:
    segments = (unquote(segment, errors="strict") for segment in raw.split("/"))
    path = "/".join(segment.replace("%", "%25").replace("/", "%2F") for segment in segments)
    return path.removesuffix("/") or "/"


def decoded_name(segment: str) -> str:
    """The name in a segment of a matched path."""
    return unquote(segment)
