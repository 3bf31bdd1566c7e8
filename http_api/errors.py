"""Every error has the shape `{status, message, errors, timestamp}`. `errors` has a sentence for each mistake of the
client."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeAlias

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from messaging.ports.changes import StoreOverloaded, StoreUnavailable
from messaging.ports.message import timestamp

RETRY_AFTER = "1"
_SELDOM = 5.0
_next_refusal_at = 0.0

log = structlog.get_logger("api")


class BadRequest(Exception):
    """The request is not valid: `status` (4xx), a headline, and a sentence for each field."""

    def __init__(self, status: int, message: str, errors: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors


def error_response(
    status: int, message: str, errors: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """A response with the error body."""
    body = {"status": status, "message": message, "errors": errors or {}, "timestamp": timestamp(datetime.now(UTC))}
    return Response(json.dumps(body, separators=(",", ":")), status, headers, "application/json")


def field_errors(errors: Sequence[Any]) -> dict[str, str]:
    """Pydantic's errors by field path (`items[0].quantity`). Each is a sentence that begins with the field."""
    sentences: dict[str, str] = {}
    for error in errors:
        path = _path(error["loc"])
        sentences.setdefault(path, f"{path} {_sentence(error)}")
    return sentences


def _path(location: Sequence[int | str]) -> str:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in ("body", "query", "path", "header") or path:
            path += f".{part}" if path else part
    return path or "body"


# Pydantic's types of errors, and our sentence for each. `{…}` are the limits in the error.
_SENTENCES = {
    "missing": "is required",
    "too_long": "must have at most {max_length} entries",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "int_type": "must be a whole number, written without quotes or a fraction",
    "int_from_float": "must be a whole number, written without quotes or a fraction",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of a sensible size",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode text",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "enum": "must be one of {expected}",
    "uuid_parsing": "must be a UUID",
    "value_error": "{error}",
}


def _sentence(error: Mapping[str, Any]) -> str:
    sentence = _SENTENCES.get(error["type"])
    return sentence.format(**error.get("ctx", {})) if sentence else str(error["msg"])


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a service's own error. The error's text is the sentence about `field`."""

    status: int
    message: str
    field: str


ANOTHERS = "oms.anothers"
"""The key of a request's scope that is set when an error hides something of another caller. It is for the audit trail,
and the answer does not tell."""

ErrorTable: TypeAlias = Mapping[type[Exception], Answer]


def response_to(error: Exception, table: ErrorTable) -> Response | None:
    """The answer to an error of the client, or to a temporary one. None for a defect of ours."""
    match error:
        case BadRequest():
            return error_response(error.status, error.message, error.errors)
        case RequestValidationError():
            return _invalid(error.errors())
        case HTTPException():
            return error_response(error.status_code, HTTPStatus(error.status_code).phrase, headers=error.headers)
        case StoreOverloaded() | StoreUnavailable():
            _log_refusal(str(error))
            return error_response(503, "Service unavailable", {"service": str(error)}, {"Retry-After": RETRY_AFTER})
        case _:
            answer = table.get(type(error))
            return error_response(answer.status, answer.message, {answer.field: str(error)}) if answer else None


def _log_refusal(why: str) -> None:
    """One line in five seconds: a database that is away refuses all requests alike."""
    global _next_refusal_at
    now = time.monotonic()
    if now >= _next_refusal_at:
        _next_refusal_at = now + _SELDOM
        log.warning("requests are refused", why=why)


def _invalid(errors: Sequence[Any]) -> Response:
    if errors[0]["type"] == "json_invalid":
        reason = errors[0]["ctx"]["error"]
        return error_response(400, "Malformed JSON", {"body": f"the body is not JSON: {reason}"})
    return error_response(400, "Validation failed", field_errors(errors))


def internal_error(method: str, path: str, error: Exception) -> Response:
    """A 500 without internal details. The log has them."""
    log.error("request failed", method=method, path=path, exc_info=error)
    return error_response(500, "Internal server error")


def _methods_of(request: Request) -> str:
    """Every method that the path has. Starlette itself names only the methods of the path's first route."""
    methods = [
        method
        for method in ("GET", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
    return ", ".join(["GET", "HEAD", *methods[1:]] if "GET" in methods else methods)


def install_error_handlers(app: FastAPI, table: ErrorTable) -> None:
    """Answer every error of every layer in the same shape. `table` has the errors of the services."""

    async def answer(request: Request, error: Exception) -> Response:
        if getattr(error, "is_anothers", False):
            request.scope[ANOTHERS] = True
        response = response_to(error, table) or internal_error(request.method, request.url.path, error)
        if response.status_code == 405:
            response.headers["Allow"] = _methods_of(request)
        return response

    ours = (BadRequest, RequestValidationError, HTTPException, StoreOverloaded, StoreUnavailable)
    for kind in (*ours, *table, Exception):
        app.add_exception_handler(kind, answer)
