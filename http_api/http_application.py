"""An HTTP application, made of the parts of one or several services in a process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fastapi import FastAPI, Response
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

from http_api.errors import ErrorTable, install_error_handlers
from http_api.health import HealthChecks, add_health_routes
from http_api.request_context import RequestContext
from http_api.request_line import RequestLine
from http_api.schemas import ErrorView

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


def http_application(parts: Sequence[HttpPart]) -> ASGIApp:
    """One application with the routes of all parts. Health, /metrics and /docs cover all of them together."""
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
    install_error_handlers(app, {kind: answer for part in parts for kind, answer in part.errors.items()})
    add_health_routes(app, [part.checks for part in parts])
    app.add_api_route("/", _to_docs, include_in_schema=False)
    whole: ASGIApp = app
    for part in parts:
        part.add_routes(app)
        whole = part.middleware(whole)
    return RequestContext(RequestLine(whole))
