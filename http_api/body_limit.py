"""Bodies of requests: JSON only, and at most 64 KiB."""

import re
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from http_api.errors import BadRequest

MAX_BODY = 64 * 1024
_JSON = re.compile(rb"\s*application/(json|[\w.+-]+\+json)\s*(;.*)?", re.IGNORECASE)
_LENGTH = re.compile(rb"\d{1,18}")


async def read_json_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body. A body without a Content-Type is taken for JSON.

    Raises BadRequest: 415 for another type or a compressed body, and 413 as soon as the body exceeds 64 KiB.
    """
    _check_head(dict(scope["headers"]))
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest(400, "Malformed JSON", {"body": "the connection closed before the whole body had come"})
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise _too_large()
        if not message.get("more_body", False):
            return body


def _check_head(headers: Mapping[bytes, bytes]) -> None:
    content_type, length = headers.get(b"content-type"), headers.get(b"content-length")
    if content_type is not None and not _JSON.fullmatch(content_type):
        raise _unsupported("Content-Type", "must be application/json")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise _unsupported("Content-Encoding", "must be left out: send the body as it is, not compressed")
    if headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
        raise _unsupported("Transfer-Encoding", "must be chunked alone: send the body as it is, not compressed")
    if length is None:
        return
    if not _LENGTH.fullmatch(length):
        raise BadRequest(400, "Validation failed", {"Content-Length": "Content-Length must be a number of bytes"})
    if int(length) > MAX_BODY:
        raise _too_large()


def _unsupported(header: str, rule: str) -> BadRequest:
    return BadRequest(415, "Unsupported media type", {header: f"{header} {rule}"})


def _too_large() -> BadRequest:
    return BadRequest(413, "Content too large", {"body": f"the body must be at most {MAX_BODY} bytes"})


class JsonBodyRoute(APIRoute):
    """A FastAPI route that reads its body with read_json_body: `APIRouter(route_class=JsonBodyRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See APIRoute."""
        handle = super().get_route_handler()
        if not self.body_field:
            return handle

        async def handle_json(request: Request) -> Response:
            body = await read_json_body(request.scope, request.receive)

            async def receive() -> Message:
                return {"type": "http.request", "body": body, "more_body": False}

            others = [header for header in request.scope["headers"] if header[0] != b"content-type"]
            scope = dict(request.scope, headers=[*others, (b"content-type", b"application/json")])
            try:
                return await handle(Request(scope, receive))
            except HTTPException as error:
                # FastAPI raises 400 when the JSON parser fails on the encoding, the depth or the length of a number.
                if error.status_code != HTTPStatus.BAD_REQUEST:
                    raise
                raise BadRequest(400, "Malformed JSON", {"body": "the body is not JSON that can be read"}) from None

        return handle_json
