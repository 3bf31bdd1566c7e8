"""The ids of the current request. Every log line that is written while the request is answered carries them."""

from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

from messaging.ports.trace_context import TRACE

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
ORDER_ID: ContextVar[str | None] = ContextVar("order_id", default=None)


def add_ids(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that adds the ids."""
    for variable in (REQUEST_ID, ORDER_ID):
        value = variable.get()
        if value is not None:
            event.setdefault(variable.name, value)
    trace = TRACE.get()
    if trace is not None:
        event.setdefault("trace_id", trace.trace_id)
    return event
