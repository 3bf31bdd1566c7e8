"""The description of a service, for starting it, migrating it, creating its topics and inspecting its database."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from messaging.kafka.topics import Topic, positions_of
from messaging.ports.figures import ReadFigures
from messaging.ports.order_view import ViewOrder
from messaging.runtime.settings import ServiceSettings


@dataclass(frozen=True, slots=True)
class Service:
    """A service's description.

    `settings` has a field `{name}_database_url`. `produces` has the topics that belong to this service alone.
    `migrations` is a folder of Alembic revisions for the database `database_name`. `oms roles` grants rights on its
    `tables`, and readiness checks those that the process needs. `start` is a context manager that takes the settings, a
    transport and the roles, and runs the service during its block. `consumes` has the topics that it reads, as the
    group `{name}-service`. `view_order` and `read_figures` tell operators what the service's own tables say, about an
    order and in sum.
    """

    name: str
    port: int
    settings: type[ServiceSettings]
    produces: Sequence[Topic]
    database_name: str
    migrations: Path
    start: Callable[..., AbstractAsyncContextManager[Any]]
    tables: Sequence[str] = ()
    consumes: Sequence[str] = ()
    view_order: ViewOrder | None = None
    read_figures: ReadFigures | None = None

    @property
    def topics(self) -> Sequence[Topic]:
        """Every topic that belongs to the service."""
        return (*self.produces, positions_of(self.name))

    def database_url(self, settings: ServiceSettings) -> str:
        """The service's *_DATABASE_URL."""
        return str(getattr(settings, f"{self.name}_database_url"))
