"""An HTTP application out of what one service, or each of several in one process, brings to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fastapi import FastAPI, Response
from fastapi.responses import RedirectResponse
from starlette.types import ASGIApp

from http_api.errors import ErrorTable, install_error_handlers
from http_api.health import HealthChecks, add_health_routes
from http_api.request_context import RequestContext
from http_api.request_line import RequestLine
from http_api.schemas import ErrorView

DESCRIPTION = """What is answered with success is durable, and its events are published exactly once.

Every error has the shape `{status, message, errors, timestamp}`, where `errors` maps a field's path to a sentence."""


def _unchanged(app: ASGIApp) -> ASGIApp:
    return app


@dataclass(frozen=True, slots=True)
class HttpPart:
    """What a service brings: its routes, the answers to its own errors, its health, and what stands before the app."""

    title: str
    checks: HealthChecks
    add_routes: Callable[[FastAPI], None] = lambda _: None
    errors: ErrorTable = field(default_factory=dict)
    middleware: Callable[[ASGIApp], ASGIApp] = _unchanged


async def _to_docs() -> Response:
    """A person who comes without a path wants to know what there is."""
    return RedirectResponse("/docs")


def http_application(parts: Sequence[HttpPart]) -> ASGIApp:
    """One application with the routes of all parts, and one health, one /metrics and one /docs for them together."""
    any_other = {"model": ErrorView, "description": "Any other error, in the same shape"}
    app = FastAPI(
        title=", ".join(part.title for part in parts),
        version="1",
        description=DESCRIPTION,
        redoc_url=None,
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
