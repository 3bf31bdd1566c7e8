"""What the request at hand is about, for log lines: whatever is logged while it is answered carries these ids."""

from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
ORDER_ID: ContextVar[str | None] = ContextVar("order_id", default=None)


def add_ids(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor."""
    for variable in (REQUEST_ID, ORDER_ID):
        value = variable.get()
        if value is not None:
            event.setdefault(variable.name, value)
    return event
