"""The caller of the request at hand."""

from contextvars import ContextVar

from shared_kernel.caller import ANONYMOUS, Caller

CALLER: ContextVar[Caller] = ContextVar("caller", default=ANONYMOUS)
"""Set by `Authenticate` before a request reaches a route. Without AUTH nobody sets it."""
