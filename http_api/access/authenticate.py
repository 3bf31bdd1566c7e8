"""A middleware that finds out who calls, before a request reaches a route, and notes who is refused."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from uuid import UUID

from starlette.types import ASGIApp, Receive, Scope, Send

from http_api.access.api_keys import PREFIX
from http_api.access.current import CALLER
from http_api.access.refusal import NOT_VALID, CannotAuthenticate, Unauthenticated
from http_api.errors import ANOTHERS, RETRY_AFTER, error_response
from http_api.request_context import ANSWER
from http_api.request_labels import method_of, route_of
from messaging.ports.audit import WHO
from shared_kernel.caller import Caller

CallerOf = Callable[[str], Awaitable[Caller]]
"""The caller whom a credential names. Raises Unauthenticated, CannotAuthenticate."""

Note = Callable[[str, str, str, UUID | None, str | None], None]
"""Is told who was refused, what, why, which order it was about, and by which API key."""

PUBLIC = frozenset({"/", "/docs", "/openapi.json", "/health/live", "/health/ready"})
_ASSETS = "/docs/"
_WANTED = "Authorization is required: Bearer, and an access token or an API key"
_CHALLENGE = 'Bearer realm="orders"'


class Authenticate:
    """Everything but PUBLIC needs `Authorization: Bearer {access token or API key}`."""

    def __init__(self, app: ASGIApp, *, tokens: CallerOf | None, api_keys: CallerOf | None, note: Note) -> None:
        self._app = app
        self._note = note
        self._tokens = tokens
        self._api_keys = api_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or path in PUBLIC or path.startswith(_ASSETS):
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._caller_of(_credential(scope))
        except Unauthenticated as refused:
            self._note("unknown", _action(scope), refused.reason, None, refused.key)
            challenge = _CHALLENGE if str(refused) == _WANTED else f'{_CHALLENGE}, error="invalid_token"'
            response = error_response(
                401, "Unauthorized", {"Authorization": str(refused)}, {"WWW-Authenticate": challenge}
            )
            await response(scope, receive, send)
            return
        except CannotAuthenticate as away:
            sentence = f"{away}, so nobody can be authenticated now"
            response = error_response(503, "Service unavailable", {"service": sentence}, {"Retry-After": RETRY_AFTER})
            await response(scope, receive, send)
            return
        before, who = CALLER.set(caller), WHO.set(caller.name)
        try:
            await self._app(scope, receive, send)
        finally:
            CALLER.reset(before)
            WHO.reset(who)
            if scope[ANSWER].status == HTTPStatus.FORBIDDEN or ANOTHERS in scope:
                if ANOTHERS in scope:
                    self._note(caller.name, _action(scope), "it is another caller's", _order_id(scope), None)
                else:  # the id in the path may be an invented one
                    self._note(caller.name, _action(scope), "a scope is missing", None, None)

    async def _caller_of(self, credential: str) -> Caller:
        verify = self._api_keys if credential.startswith(PREFIX) else self._tokens
        if verify is None:
            raise Unauthenticated(NOT_VALID)
        return await verify(credential)


def _action(scope: Scope) -> str:
    return f"{method_of(scope)} {route_of(scope)}"


def _order_id(scope: Scope) -> UUID | None:
    try:
        return UUID(scope.get("path_params", {}).get("orderId"))
    except (ValueError, TypeError, AttributeError):
        return None


def _credential(scope: Scope) -> str:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if not values:
        raise Unauthenticated(_WANTED)
    if len(values) > 1:
        raise Unauthenticated("Authorization must be given once")
    value: str = values[0].decode("latin-1")
    kind, _, credential = value.strip().partition(" ")
    credential = credential.strip()
    if kind.lower() != "bearer" or not credential.isascii() or not credential:
        raise Unauthenticated("Authorization must be Bearer, and an access token or an API key")
    return credential
