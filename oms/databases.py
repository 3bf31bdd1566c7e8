"""The services' databases, as operators' commands open them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

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

NOT_REACHED = (DatabaseUnusable, StoreUnavailable, EmbeddedPostgresUnavailable, CannotDo)
"""The errors of `looking_into` and `failures_of`. Their texts are sentences."""

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


async def record(service: Service, settings: ServiceSettings, entry: AuditEntry) -> None:
    """Write an action whose effect is not in the service's database into its audit trail. If that cannot be done, the
    log has the entry. A service in memory has no trail."""
    if service.database_url(settings) == "memory":
        return
    try:
        dsn = await address_of_database(service, settings)
        with as_database_unusable(service):
            async with open_pool(dsn) as pool:
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
    (settings,) = read_settings(service.settings, log_level=LogLevel.CRITICAL)
    dsn = await address_of_database(service, settings)
    with as_database_unusable(service):
        async with open_pool(dsn) as pool:
            yield PostgresFailures(pool)


@asynccontextmanager
async def looking_at_failures(service: Service) -> AsyncIterator[PostgresFailures]:
    """The same for reading them."""
    (settings,) = read_settings(service.settings, log_level=LogLevel.CRITICAL)
    async with looking_into(service, settings) as pool:
        yield PostgresFailures(pool)
