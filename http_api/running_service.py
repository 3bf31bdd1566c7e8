"""A service that runs: what it brings to a process, whatever its name is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property

from starlette.types import ASGIApp

from http_api.health import HealthChecks, broker_health
from http_api.http_application import HttpPart, http_application
from messaging.engine.relay import Relay
from messaging.runtime.storage import ServiceStorage


@dataclass(frozen=True)
class RunningService:
    """What every service has once it runs."""

    http: HttpPart

    @cached_property
    def app(self) -> ASGIApp:
        """The service's HTTP application, on its own."""
        return http_application([self.http])

    def stop_taking_requests(self) -> None:
        """Readiness off, for when the process is told to end; requests that wait for something wait no longer, and
        those that come all the same are still answered."""
        self.http.checks.stopping.set()


def health_of(
    storage: ServiceStorage,
    relay: Relay | None,
    *,
    queue_is_full: Callable[[], bool] = lambda: False,
    refresh_metrics: Callable[[], Awaitable[None]] | None = None,
) -> HealthChecks:
    """The health of a service: its storage, its relay if it has one, its commit queue, and metrics of its own."""

    async def refresh() -> None:
        await storage.refresh_metrics()
        if refresh_metrics is not None:
            await refresh_metrics()

    return HealthChecks(
        database=storage.health,
        queue_is_full=queue_is_full,
        broker=lambda: broker_health(relay.is_publishing if relay else None),
        refresh_metrics=refresh,
    )
