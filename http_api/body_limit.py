"""Bodies of requests: JSON only, and at most 64 KiB."""

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Coroutine, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from http_api.errors import BadRequest

MAX_BODY = 64 * 1024
_JSON = re.compile(rb"application/(json|[\w.+-]+\+json)\s*(;.*)?", re.IGNORECASE)
_CHARSET = re.compile(rb";\s*charset\s*=\s*\"?([^;\"\s]*)", re.IGNORECASE)
_OF_THE_BODY = (b"content-type", b"content-length", b"content-encoding", b"transfer-encoding")
_LENGTH = re.compile(rb"\d{1,18}")


async def read_json_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body. A body without a Content-Type is taken for JSON.

    Raises BadRequest: 415 for another type or charset or a compressed body, and 413 as soon as the body exceeds 64 KiB.
    """
    _check_head(_headers_of_the_body(scope["headers"]))
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


def _headers_of_the_body(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """What is said about the body. Several headers of a name are one list."""
    said: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _OF_THE_BODY:
            said[name] = said[name] + b", " + value if name in said else value.strip(b" \t")
    return said


def _check_head(headers: Mapping[bytes, bytes]) -> None:
    content_type, length = headers.get(b"content-type"), headers.get(b"content-length")
    if content_type is not None:
        if not _JSON.fullmatch(content_type):
            raise _unsupported("Content-Type", "must be application/json")
        charset = _CHARSET.search(content_type)
        if charset is not None and charset[1].lower() not in (b"utf-8", b"utf8", b"us-ascii"):
            raise _unsupported("Content-Type", "must be application/json in UTF-8")
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


def _malformed() -> BadRequest:
    return BadRequest(400, "Malformed JSON", {"body": "the body is not JSON that can be read"})


class JsonBodyRoute(APIRoute):
    """A FastAPI route that reads its body with read_json_body: `APIRouter(route_class=JsonBodyRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See APIRoute."""
        handle = super().get_route_handler()
        if not self.body_field:
            return handle

        async def handle_json(request: Request) -> Response:
            body = await read_json_body(request.scope, request.receive)
            if body.startswith(BOM_UTF8) or b"\0" in body:  # the parser would take it for another encoding than UTF-8
                raise _malformed()

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
                raise _malformed() from None

        return handle_json
