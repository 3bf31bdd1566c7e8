"""A middleware that makes each request a span of its caller's trace, or of a new one."""

from starlette.types import ASGIApp, Receive, Scope, Send

from http_api.request_context import ANSWER
from http_api.request_labels import METHODS
from messaging.engine import conventions as names
from messaging.engine.tracing import Kind, Span, begin
from messaging.ports.trace_context import TRACE, TraceContext, trace_of

_NOT_TRACED = ("/health", "/metrics")
_SERVER_ERROR = 500


class TraceRequests:
    """It stands around `RequestContext`. Every request but those for health and metrics is a span. A caller's
    `traceparent` is continued. Its sampled flag is not obeyed: a stranger does not choose what we record."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_NOT_TRACED):
            await self._app(scope, receive, send)
            return
        caller = _caller(scope)
        context = begin(caller)
        if not context.is_sampled:
            token = TRACE.set(context)
            try:
                await self._app(scope, receive, send)
            finally:
                TRACE.reset(token)
            return
        await self._record(scope, receive, send, Span("HTTP", Kind.SERVER, context, parent=caller))

    async def _record(self, scope: Scope, receive: Receive, send: Send, span: Span) -> None:
        known = scope["method"] in METHODS
        span.attributes |= {
            names.HTTP_METHOD: scope["method"] if known else "_OTHER",
            names.URL_PATH: scope["path"],
            names.URL_SCHEME: scope["scheme"],
        }
        address, port = scope.get("server") or (None, None)
        span.attributes |= {
            name: value for name, value in ((names.SERVER_ADDRESS, address), (names.SERVER_PORT, port)) if value
        }
        with span:
            try:
                await self._app(scope, receive, send)
            finally:
                if status := scope[ANSWER].status:
                    span.attributes[names.HTTP_STATUS] = status
                    if status >= _SERVER_ERROR:
                        span.error = str(status)
                if route := getattr(scope.get("route"), "path", None):
                    span.name = f"{scope['method'] if known else 'HTTP'} {route}"
                    span.attributes[names.HTTP_ROUTE] = route


def _caller(scope: Scope) -> TraceContext | None:
    """The caller's span. Two headers of one name are none."""
    parents = [value for name, value in scope["headers"] if name == b"traceparent"]
    if len(parents) != 1:
        return None
    states = [value for name, value in scope["headers"] if name == b"tracestate"]
    return trace_of(parents[0].decode("latin-1"), b",".join(states).decode("latin-1"))
