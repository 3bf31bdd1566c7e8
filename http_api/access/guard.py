"""What a route asks of its caller."""

from typing import Annotated, Any

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from http_api.access.current import CALLER
from http_api.errors import BadRequest
from shared_kernel.caller import Caller, Scope

_documented = HTTPBearer(
    scheme_name="bearer",
    description="An access token or an API key. Not needed while the service runs with AUTH=off.",
    auto_error=False,
)


class Forbidden(BadRequest):
    """The caller is known, and may not do this: 403."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(403, "Forbidden", {"scope": f"scope {scope} is needed, and this caller does not have it"})
        self.scope = scope


def require(scope: Scope) -> Caller:
    """The caller of this request, if it has the scope. Raises Forbidden."""
    caller = CALLER.get()
    if scope not in caller.scopes:
        raise Forbidden(scope)
    return caller


async def _check(
    scopes: SecurityScopes,
    _: Annotated[HTTPAuthorizationCredentials | None, Depends(_documented)],  # it is documented, and checked before
) -> Caller:
    for scope in scopes.scopes:
        require(Scope(scope))
    return CALLER.get()


def needs(*scopes: Scope) -> Any:
    """A dependency of a route: the caller, who has these scopes. Without scopes any known caller will do."""
    return Security(_check, scopes=[scope.value for scope in scopes])
