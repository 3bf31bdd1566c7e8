"""The services' databases, as operators' commands open them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

import structlog
import typer

from messaging.ports.audit import AuditEntry
from messaging.ports.changes import StoreUnavailable
from messaging.postgres.audit import PostgresAudit
from messaging.postgres.failures import PostgresFailures
from messaging.postgres.pinned import LOOKING
from messaging.postgres.pool import Pool, open_pool
from messaging.runtime import database as service_database
from messaging.runtime.database_unusable import DatabaseUnusable, as_database_unusable
from messaging.runtime.embedded_postgres import EmbeddedPostgresUnavailable
from messaging.runtime.service import Service
from messaging.runtime.settings import ServiceSettings
from oms.environment import CannotDo, LogLevel, read_settings
from oms.exit_status import ExitStatus
from oms.services import SERVICES

Result = TypeVar("Result")

NOT_REACHED = (DatabaseUnusable, StoreUnavailable, EmbeddedPostgresUnavailable, CannotDo)
"""The errors of a database that cannot be opened or read. Their texts are sentences."""

log = structlog.get_logger("audit")

_one_at_a_time = asyncio.Lock()


async def address_of_database(service: Service, settings: ServiceSettings) -> str:
    """The DSN of a service's database. An embedded one is neither created nor migrated. Raises CannotDo,
    EmbeddedPostgresUnavailable."""
    url = service.database_url(settings)
    if url == "memory":
        raise CannotDo(
            f"{service.name.upper()}_DATABASE_URL=memory is the memory of another process, which a command cannot read"
        )
    if url != "embedded":
        return url
    async with _one_at_a_time:
        return await service_database.resolve(url, settings.data_dir, service.database_name, create=False)


@asynccontextmanager
async def looking_into(service: Service, settings: ServiceSettings) -> AsyncIterator[Pool]:
    """A pool whose sessions only read, and give up after five seconds. Raises NOT_REACHED."""
    dsn = await address_of_database(service, settings)
    with as_database_unusable(service):
        async with open_pool(dsn, LOOKING) as pool:
            yield pool


@asynccontextmanager
async def changing(service: Service, settings: ServiceSettings | None = None) -> AsyncIterator[Pool]:
    """A pool for changing what is in a service's database. Without `settings` they are read. Raises NOT_REACHED."""
    dsn = await address_of_database(service, settings or _settings_of(service))
    with as_database_unusable(service):
        async with open_pool(dsn) as pool:
            yield pool


async def read_each(
    service: Service | None, read: Callable[[Pool], Awaitable[Result]]
) -> tuple[dict[str, Result], Sequence[Exception]]:
    """What `read` returns for the database of one service, or of each, by the services' names, and the errors of those
    that cannot be read. Raises NOT_REACHED when none can."""
    found, not_read = await _each([service] if service else [*SERVICES.values()], looking_into, read)
    if not found:
        raise next(iter(not_read.values()))
    return found, [*not_read.values()]


async def change_each(change: Callable[[Pool], Awaitable[Result]]) -> tuple[dict[str, Result], dict[str, Exception]]:
    """What `change` returns for the database of each service, and the errors of those that cannot be changed, by the
    services' names. A database that is away keeps no other from its change."""
    return await _each([*SERVICES.values()], changing, change)


async def _each(
    services: Sequence[Service],
    opened: Callable[[Service, ServiceSettings], AbstractAsyncContextManager[Pool]],
    action: Callable[[Pool], Awaitable[Result]],
) -> tuple[dict[str, Result], dict[str, Exception]]:
    settings = [_settings_of(service) for service in services]  # a wrong one ends the command before anything is done
    done: dict[str, Result] = {}
    not_done: dict[str, Exception] = {}
    for service, its_settings in zip(services, settings, strict=True):
        try:
            async with opened(service, its_settings) as pool:
                done[service.name] = await action(pool)
        except NOT_REACHED as error:
            not_done[service.name] = error
    return done, not_done


def say_not_read(errors: Sequence[Exception]) -> None:
    """Say which databases could not be read, and end the command as incomplete. Without errors do nothing."""
    if errors:
        typer.echo("\n".join(dict.fromkeys(map(str, errors))), err=True)
        raise typer.Exit(ExitStatus.INCOMPLETE)


async def record(service: Service, settings: ServiceSettings, entry: AuditEntry) -> None:
    """Write an action whose effect is not in the service's database into its audit trail. If that cannot be done, the
    log has the entry. A service in memory has no trail."""
    if service.database_url(settings) == "memory":
        return
    try:
        async with changing(service, settings) as pool:
            await PostgresAudit(pool).write([entry])
    except NOT_REACHED as error:
        log.warning(
            "done, but not in the audit trail",
            service=service.name,
            who=entry.who,
            action=entry.action,
            **entry.detail,
            error=str(error),
        )


@asynccontextmanager
async def failures_of(service: Service) -> AsyncIterator[PostgresFailures]:
    """The parked records and dead letters of a service, for changing them. Raises NOT_REACHED."""
    async with changing(service) as pool:
        yield PostgresFailures(pool)


@asynccontextmanager
async def looking_at_failures(service: Service) -> AsyncIterator[PostgresFailures]:
    """The same for reading them."""
    async with looking_into(service, _settings_of(service)) as pool:
        yield PostgresFailures(pool)


def _settings_of(service: Service) -> ServiceSettings:
    settings: ServiceSettings
    (settings,) = read_settings(service.settings, log_level=LogLevel.CRITICAL)
    return settings
