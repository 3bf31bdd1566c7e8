"""The method and the route of a request, for metrics and records. They are few, whatever a client invents."""

from starlette.types import Scope

METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"})


def method_of(scope: Scope) -> str:
    """The method, or `other`."""
    return scope["method"] if scope["method"] in METHODS else "other"


def route_of(scope: Scope) -> str:
    """The route with the names of its parameters, or `unmatched`. It is known once the request was routed."""
    return getattr(scope.get("route"), "path", "unmatched")
