"""The storage of every service beside its aggregates: the outbox, the inbox, parked records and dead letters."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import structlog
from prometheus_client import Gauge

from messaging.engine.gauges import set_gauges
from messaging.engine.metrics import (
    DEAD_LETTERS,
    OUTBOX_AGE,
    OUTBOX_DEPTH,
    PARKED,
    PARKED_AGE,
    POOL_BUSY,
    STANDBY_LAG,
    STANDBY_WAITS,
    STANDBYS,
)
from messaging.engine.refused_access import RefusedAccess
from messaging.memory.failures import MemoryFailures
from messaging.memory.outbox import MemoryOutbox
from messaging.ports.audit import AuditEntry
from messaging.ports.outbox import Outbox
from messaging.ports.store_health import HEALTHY, StoreHealth
from messaging.postgres.audit import PostgresAudit
from messaging.postgres.failures import PostgresFailures
from messaging.postgres.inbox import keep_inbox
from messaging.postgres.outbox import PostgresOutbox, depth_and_age
from messaging.postgres.pool import Pools, open_pools
from messaging.postgres.probe import DatabaseProbe
from messaging.postgres.replication import replication_state
from messaging.postgres.rights import rights_needed
from messaging.postgres.timeline import notice_timeline
from messaging.runtime.database import bring_up_to_date, resolve, revisions_in
from messaging.runtime.service import Service
from messaging.runtime.settings import RELAY_ALONE, Role, ServiceSettings

_OF_RELAYS = (OUTBOX_DEPTH, OUTBOX_AGE, STANDBYS, STANDBY_LAG, STANDBY_WAITS)
_GAUGES = (*_OF_RELAYS, PARKED, PARKED_AGE, DEAD_LETTERS)

log = structlog.get_logger("storage")


@dataclass(frozen=True, slots=True)
class ServiceStorage:
    """The storage in PostgreSQL or in memory. `keep_house`, `seal_audit` and `notice_timeline` must run at the start
    and regularly after that."""

    outbox: Outbox
    failures: PostgresFailures | MemoryFailures
    health: Callable[[], Awaitable[StoreHealth]]
    refresh_metrics: Callable[[], Awaitable[None]]
    keep_house: Callable[[], Awaitable[None]]
    seal_audit: Callable[[], Awaitable[None]]
    refused: RefusedAccess
    notice_timeline: Callable[[], Awaitable[None]]


@asynccontextmanager
async def postgres_storage(
    service: Service, dsn: str, pools: Pools, outbox: PostgresOutbox, roles: frozenset[Role], *, is_embedded: bool
) -> AsyncIterator[ServiceStorage]:
    """The storage of `service` in the database of `dsn`, `pools` and `outbox`, for a process with these roles."""
    failures, audit = PostgresFailures(pools.engine), PostgresAudit(pools.engine)
    for name, pool in (("clients", pools.clients), ("engine", pools.engine)):
        POOL_BUSY.labels(service.name, name).set_function(partial(getattr, pool, "busy"))
    relays_alone = roles == RELAY_ALONE
    needed = rights_needed(service.tables, application=not relays_alone, relay=Role.RELAY in roles)
    probe = DatabaseProbe(dsn, revisions_in(service.migrations), needed)

    async def counts() -> Sequence[float]:
        waiting = await depth_and_age(pools.engine)
        failed = () if relays_alone else await failures.counts()
        return (*waiting, *await replication_state(pools.engine), *failed)

    async def keep_house() -> None:
        async with pools.engine.session() as session:
            await keep_inbox(session)

    try:
        yield ServiceStorage(
            outbox,
            failures,
            probe,
            _refreshing(service.name, counts, _OF_RELAYS if relays_alone else _GAUGES),
            keep_house,
            partial(_seal, service.name, audit, log.debug if is_embedded else log.info),
            RefusedAccess(service.name, audit.write),
            partial(notice_timeline, service.name, pools.engine),
        )
    finally:
        probe.close()
        await outbox.close()


async def _seal(service: str, audit: PostgresAudit, say: Callable[..., None]) -> None:
    """Seal what is not sealed yet. The log has each seal, so that a copy of it is elsewhere. Nobody ships the log of an
    embedded database."""
    while (seal := await audit.seal()) is not None:
        say("sealed the audit trail", service=service, seal=seal.number, upto=seal.last_id, hash=seal.hash.hex())


class Closable(Protocol):
    """A store of aggregates, which must be closed."""

    async def close(self) -> None:
        """Answer every accepted write and read, then close the connections."""
        ...


InMemory = TypeVar("InMemory", bound=Closable)
InPostgres = TypeVar("InPostgres", bound=Closable)


@asynccontextmanager
async def open_store(
    service: Service,
    settings: ServiceSettings,
    roles: frozenset[Role],
    *,
    in_memory: Callable[[MemoryOutbox], InMemory],
    in_postgres: Callable[..., InPostgres],
) -> AsyncIterator[tuple[InMemory | InPostgres, ServiceStorage]]:
    """A service's store of aggregates and its other storage, in the database of its *_DATABASE_URL, for a process with
    these roles.

    `in_memory` makes the store for `memory`. `in_postgres` makes it from a DSN, its pools, `wake`, and the limits of
    connections, of writes in a batch and of waiting writes.
    """
    database_url = service.database_url(settings)
    if database_url == "memory":
        in_process = MemoryOutbox()
        yield in_memory(in_process), memory_storage(service.name, in_process)
        return
    dsn = await resolve(database_url, settings.data_dir, service.database_name)
    is_embedded = database_url == "embedded"
    if is_embedded:
        await bring_up_to_date(dsn, service.migrations)
    outbox = PostgresOutbox(dsn, idle_timeout=settings.relay_idle_timeout_seconds)
    async with (
        open_pools(dsn) as pools,
        postgres_storage(service, dsn, pools, outbox, roles, is_embedded=is_embedded) as storage,
    ):
        store = in_postgres(
            dsn,
            pools,
            wake=outbox.wake,
            connections=settings.commit_connections,
            max_batch=settings.commit_batch_max,
            max_waiting=settings.commit_queue_max,
        )
        try:
            yield store, storage
        finally:
            await store.close()


def memory_storage(service: str, outbox: MemoryOutbox) -> ServiceStorage:
    """The storage of `service` in this process's memory."""
    log.warning("kept in memory: nothing survives a restart", service=service)
    failures = MemoryFailures()

    async def nothing() -> None: ...

    async def health() -> StoreHealth:
        return HEALTHY

    async def counts() -> Sequence[float]:
        return (*outbox.depth_and_age(), 0, 0, 0, *await failures.counts())

    async def no_trail(_: Sequence[AuditEntry]) -> None: ...

    refused = RefusedAccess(service, no_trail)
    return ServiceStorage(outbox, failures, health, _refreshing(service, counts), nothing, nothing, refused, nothing)


def _refreshing(
    service: str, counts: Callable[[], Awaitable[Sequence[float]]], gauges: Sequence[Gauge] = _GAUGES
) -> Callable[[], Awaitable[None]]:
    return partial(set_gauges, [gauge.labels(service) for gauge in gauges], counts)
