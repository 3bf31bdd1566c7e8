"""An HTTP application, made of the parts of one or several services in a process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp, Receive, Scope, Send

from http_api.errors import ErrorTable, install_error_handlers
from http_api.health import HealthChecks, add_health_routes
from http_api.request_context import RequestContext
from http_api.request_line import RequestLine
from http_api.schemas import ErrorView
from http_api.trace_requests import TraceRequests
from messaging.engine import tracing

DESCRIPTION = """A successful answer means that the change is durable. Its events are published exactly once.

Every error has the shape `{status, message, errors, timestamp}`, where `errors` maps a field's path to a sentence."""


def _unchanged(app: ASGIApp) -> ASGIApp:
    return app


@dataclass(frozen=True, slots=True)
class HttpPart:
    """A service's part: its routes, the answers to its own errors, its health checks and its middleware."""

    title: str
    checks: HealthChecks
    add_routes: Callable[[FastAPI], None] = lambda _: None
    errors: ErrorTable = field(default_factory=dict)
    middleware: Callable[[ASGIApp], ASGIApp] = _unchanged


async def _to_docs() -> Response:
    """Send a person who opens the address without a path to the documentation."""
    return RedirectResponse("/docs")


def http_application(
    parts: Sequence[HttpPart],
    *,
    metrics_port: int | None = None,
    access: Callable[[ASGIApp], ASGIApp] = _unchanged,
) -> ASGIApp:
    """One application with the routes of all parts. Health, /metrics and /docs cover all of them together. `access` is
    the middleware that finds out who calls.

    With `metrics_port`, health and metrics are served to connections to that port only, and nothing else is there.
    """
    app, whole = _public_application(parts)
    checks = [part.checks for part in parts]
    if metrics_port is None:
        add_health_routes(app, checks)
        return _outermost(access(whole))
    operations = FastAPI(openapi_url=None, redirect_slashes=False)
    install_error_handlers(operations, {})
    add_health_routes(operations, checks)
    return _outermost(_by_port({metrics_port: operations}, otherwise=access(whole)))


def _outermost(app: ASGIApp) -> ASGIApp:
    """The application behind the middleware of every request."""
    whole: ASGIApp = RequestContext(RequestLine(app))
    return TraceRequests(whole) if tracing.is_on() else whole


def _by_port(apps: Mapping[int, ASGIApp], *, otherwise: ASGIApp) -> ASGIApp:
    """Choose the application by the port to which the client has connected."""

    async def chosen(scope: Scope, receive: Receive, send: Send) -> None:
        await apps.get(scope["server"][1], otherwise)(scope, receive, send)

    return chosen


def _document_credentials(app: FastAPI) -> None:
    """Document that routes may be called without credentials, too: while AUTH is off."""
    build = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            for methods in build()["paths"].values():
                for operation in methods.values():
                    if "security" in operation:
                        operation["security"].insert(0, {})
        return app.openapi_schema or build()

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI documents it


def _public_application(parts: Sequence[HttpPart]) -> tuple[FastAPI, ASGIApp]:
    """The routes of all parts, and the same behind the middleware of the parts."""
    any_other = {"model": ErrorView, "description": "Any other error, in the same shape"}
    app = FastAPIOffline(  # /docs loads nothing from the internet
        title=", ".join(part.title for part in parts),
        version="1",
        description=DESCRIPTION,
        redoc_url=None,
        static_url="/docs/assets",
        redirect_slashes=False,
        responses={"default": any_other},
    )
    _document_credentials(app)
    install_error_handlers(app, {kind: answer for part in parts for kind, answer in part.errors.items()})
    app.add_api_route("/", _to_docs, include_in_schema=False)
    whole: ASGIApp = app
    for part in parts:
        part.add_routes(app)
        whole = part.middleware(whole)
    return app, whole
