"""A middleware for every request. It gives the log lines and the answer the request's id, and counts requests. What it
sees of the answer is there for the other middlewares, so that each of them need not look at every message."""

import asyncio
import os
import re
import time
from dataclasses import dataclass
from itertools import count

import structlog
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from http_api.errors import RETRY_AFTER, error_response
from http_api.request_labels import method_of, route_of
from messaging.engine.correlation import REQUEST_ID
from messaging.engine.tracing import exemplar

REQUESTS = Counter("oms_http_requests_total", "Requests answered", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "oms_http_request_seconds",
    "Time from a request's headers to its answer",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_SAFE_ID = re.compile(rb"[\w.:-]{1,64}")
_CUT_OFF = "the process stops, and nobody knows whether this was done; ask again, with the same Idempotency-Key"

ANSWER = "oms.answer"
"""The key of a request's scope that has its AnswerSoFar."""


@dataclass(slots=True)
class AnswerSoFar:
    """The answer to a request. `status` is 0 until it begins, and `more_headers` are added to it then."""

    status: int = 0
    more_headers: tuple[tuple[bytes, bytes], ...] = ()


# An id is made for every request, so it must be cheap. Its random start makes it unique across processes.
_PROCESS = os.urandom(6).hex()
_numbers = count(1)

log = structlog.get_logger("api")


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SAFE_ID.fullmatch(value):
            return bytes(value).decode()
    return f"{_PROCESS}-{next(_numbers):x}"


class RequestContext:
    """An ASGI middleware. It keeps a client's X-Request-Id of 1 to 64 safe characters."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._timers: dict[tuple[str, str], Histogram] = {}
        self._log = log.bind()  # once, and not for every request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        answer = scope[ANSWER] = AnswerSoFar()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                ours = (b"x-request-id", request_id.encode()), *answer.more_headers
                message["headers"] = [*message["headers"], *ours]
            await send(message)

        token = REQUEST_ID.set(request_id)
        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:
            # Only a stopping process cancels requests, when it cannot wait for them any longer.
            if answer.status:
                raise
            response = error_response(503, "Service unavailable", {"service": _CUT_OFF}, {"Retry-After": RETRY_AFTER})
            await response(scope, receive, send_with_id)
        finally:
            self._observe(scope, answer.status or 500, time.perf_counter() - started)
            REQUEST_ID.reset(token)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        method, route = method_of(scope), route_of(scope)
        counter = self._counters.get((method, route, status))
        if counter is None:
            counter = self._counters[method, route, status] = REQUESTS.labels(method, route, status)
            self._timers.setdefault((method, route), REQUEST_SECONDS.labels(method, route))
        counter.inc()
        self._timers[method, route].observe(seconds, exemplar())
        self._log.debug("answered", method=method, path=scope["path"], status=status, seconds=round(seconds, 4))
