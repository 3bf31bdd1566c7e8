"""Health and metrics for operators and orchestrators: /health/live, /health/ready and /metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from fastapi import FastAPI, Request, Response
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, Field

from http_api.access.guard import needs
from messaging.ports.store_health import StoreHealth
from shared_kernel.caller import Scope

Answer = TypeVar("Answer")

CHECK_WITHIN_SECONDS = 2.0


class Health(StrEnum):
    """UNKNOWN means that this process does not do that work, or that the check has no result."""

    UP = "UP"
    DOWN = "DOWN"
    UNKNOWN = "UNKNOWN"


def broker_health(is_publishing: bool | None) -> Health:
    """The broker's health as the relay sees it. `is_publishing` is None in a process without a relay."""
    if is_publishing is None:
        return Health.UNKNOWN
    return Health.UP if is_publishing else Health.DOWN


class HealthView(BaseModel):
    """`status` is the result, and `checks` are the reasons for it."""

    status: Health
    checks: dict[str, Health] = Field(
        examples=[{"database": "UP", "schema": "UP", "commitQueue": "UP", "broker": "UP"}]
    )


class Shared(Generic[Answer]):
    """Runs one call at a time, and gives its result to every caller that asked before it began. Any number of
    concurrent callers cost at most two calls."""

    def __init__(self, action: Callable[[], Awaitable[Answer]]) -> None:
        self._action = action
        self._turn = asyncio.Lock()
        self._began = -1.0
        self._last: Answer

    async def __call__(self) -> Answer:
        """The result of a call that began after this one was asked for."""
        clock = asyncio.get_running_loop().time
        asked = clock()
        async with self._turn:
            if self._began <= asked:
                began = clock()
                self._last = await self._action()
                self._began = began
            return self._last


@dataclass(slots=True)
class HealthChecks:
    """The checks of a service's readiness. The broker is only reported, because the outbox keeps messages meanwhile."""

    database: Callable[[], Awaitable[StoreHealth]]
    queue_is_full: Callable[[], bool]
    broker: Callable[[], Health]
    refresh_metrics: Callable[[], Awaitable[None]]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.database = Shared(self.database)
        self.refresh_metrics = Shared(self.refresh_metrics)

    async def ready(self) -> HealthView:
        """UP when changes can be stored and the process is not stopping."""
        database, schema = await self._database()
        checks = {
            "database": database,
            "schema": schema,
            "commitQueue": Health.DOWN if self.queue_is_full() else Health.UP,
            "broker": self.broker(),
        }
        refusing = self.stopping.is_set() or Health.DOWN in (database, schema, checks["commitQueue"])
        return HealthView(status=Health.DOWN if refusing else Health.UP, checks=checks)

    async def _database(self) -> tuple[Health, Health]:
        try:
            async with asyncio.timeout(CHECK_WITHIN_SECONDS):
                store = await self.database()
        except Exception:  # noqa: BLE001  any failure means DOWN; the store itself logs it
            return Health.DOWN, Health.UNKNOWN
        return _up(store.is_writable), _up(store.has_schema)


def _up(is_up: bool) -> Health:
    return Health.UP if is_up else Health.DOWN


async def _all_ready(services: Sequence[HealthChecks]) -> HealthView:
    """UP when every service of the process is UP. Each check has the worst value of all services."""
    views = [await checks.ready() for checks in services]
    worst = [Health.DOWN, Health.UNKNOWN, Health.UP].index
    return HealthView(
        status=min((view.status for view in views), key=worst),
        checks={name: min((view.checks[name] for view in views), key=worst) for name in views[0].checks},
    )


def add_health_routes(app: FastAPI, services: Sequence[HealthChecks]) -> None:
    """Serve /health/live, /health/ready and /metrics for the services of this process."""

    @app.get("/health/live", tags=["operations"], summary="Is the process alive?")
    async def live() -> HealthView:
        return HealthView(status=Health.UP, checks={})

    @app.get(
        "/health/ready",
        tags=["operations"],
        summary="May it get requests?",
        responses={503: {"model": HealthView, "description": "Not now"}},
    )
    async def ready(response: Response) -> HealthView:
        health = await _all_ready(services)
        if health.status is Health.DOWN:
            response.status_code = 503
        return health

    @app.get(
        "/metrics",
        tags=["operations"],
        dependencies=[needs(Scope.OPERATOR)],
        summary="Prometheus metrics",
        response_class=Response,
        description="As text, or as OpenMetrics with exemplars if `Accept` asks for that.",
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics(request: Request) -> Response:
        for checks in services:
            await checks.refresh_metrics()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), headers={"Content-Type": content_type})
