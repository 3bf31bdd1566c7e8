"""The id of the request at hand, for log lines: whatever is logged while a request is answered carries it."""

from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)


def add_request_id(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor."""
    request_id = REQUEST_ID.get()
    if request_id is not None:
        event["request_id"] = request_id
    return event
