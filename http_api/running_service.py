"""A running service, as the process sees it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property

from starlette.types import ASGIApp

from http_api.access.authenticate import Note
from http_api.health import HealthChecks, broker_health
from http_api.http_application import HttpPart, http_application
from messaging.engine.relay import Relay
from messaging.runtime.storage import ServiceStorage


@dataclass(frozen=True)
class RunningService:
    """A service that runs."""

    http: HttpPart
    note_refusal: Note
    on_stop: Callable[[], None] = field(default=lambda: None, kw_only=True)

    @cached_property
    def app(self) -> ASGIApp:
        """The HTTP application of this service alone."""
        return http_application([self.http])

    def stop_taking_requests(self) -> None:
        """Set readiness to DOWN, end the waiting of requests (`Prefer: wait`), and call `on_stop`. Requests that still
        come are answered."""
        self.http.checks.stopping.set()
        self.on_stop()


def health_of(
    storage: ServiceStorage,
    relay: Relay | None,
    *,
    queue_is_full: Callable[[], bool] = lambda: False,
    refresh_metrics: Callable[[], Awaitable[None]] | None = None,
) -> HealthChecks:
    """The health checks of a service: its storage, its relay if there is one, its commit queue and its own metrics."""

    async def refresh() -> None:
        await asyncio.gather(storage.refresh_metrics(), *([refresh_metrics()] if refresh_metrics else []))

    return HealthChecks(
        database=storage.health,
        queue_is_full=queue_is_full,
        broker=lambda: broker_health(relay.is_publishing if relay else None),
        refresh_metrics=refresh,
    )
