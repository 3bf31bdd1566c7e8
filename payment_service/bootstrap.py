"""The whole payment service, wired top to bottom. Nothing else constructs an adapter."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import structlog
from starlette.types import ASGIApp
from uuid_utils.compat import uuid7

from http_api.application import HttpPart, http_application
from http_api.health import HealthChecks, broker_health
from messaging.kafka.topics import Topic
from messaging.memory.outbox import MemoryOutbox
from messaging.runtime import database as service_database
from messaging.runtime.roles import Sweep, playing
from messaging.runtime.settings import Role
from messaging.runtime.storage import ServiceStorage, memory_storage, open_pool, postgres_storage
from messaging.runtime.transport import Transport
from payment_service.api import payments_http
from payment_service.application import Cashier, FindPayment, PaymentGateway, Steps, TakeCommands
from payment_service.infrastructure import database, event_encoding
from payment_service.infrastructure.command_handling import payment_commands
from payment_service.infrastructure.gateway_metrics import WatchedGateway, refresh_metrics
from payment_service.infrastructure.http_gateway import open_http_gateway
from payment_service.infrastructure.memory import MemoryPayments
from payment_service.infrastructure.postgres import PostgresPayments
from payment_service.infrastructure.simulated_gateway import SimulatedGateway
from payment_service.settings import SIMULATED, PaymentSettings

SERVICE = "payment"
FIRST_POSITION_PARTITION = 8
TOPICS = (Topic(event_encoding.TOPIC, partitions=4),)
_SWEEP_EVERY = 1.0

log = structlog.get_logger("payment-service")


@dataclass(frozen=True)
class PaymentService:
    """A running service: what it brings to an HTTP application, and the application of it alone."""

    http: HttpPart

    @cached_property
    def app(self) -> ASGIApp:
        """The service's own HTTP application."""
        return http_application([self.http])

    def stop_taking_requests(self) -> None:
        """Readiness off; requests that come all the same are still answered."""
        self.http.checks.stopping = True


@asynccontextmanager
async def payment_service(
    settings: PaymentSettings, transport: Transport, roles: frozenset[Role] = frozenset(Role)
) -> AsyncIterator[PaymentService]:
    """Start the roles, and stop them on leaving: no new commands, two seconds for the calls at hand, accepted writes
    are answered."""
    async with AsyncExitStack() as stack:
        payments, storage = await _open_storage(settings, stack)
        gateway = WatchedGateway(await _open_gateway(settings, stack))
        steps = Steps(payments, _now, uuid7)
        lease = timedelta(seconds=settings.payment_recovery_seconds)
        cashier = Cashier(steps, gateway, at_once=settings.payment_calls_at_once, lease=lease)
        stack.push_async_callback(cashier.close)
        relay = await stack.enter_async_context(
            playing(
                roles,
                SERVICE,
                storage,
                transport,
                first_position_partition=FIRST_POSITION_PARTITION,
                subscriptions=[payment_commands(TakeCommands(steps, cashier))],
                sweeps=[Sweep("payments in doubt", _SWEEP_EVERY, cashier.sweep)],
            )
        )

        async def refresh() -> None:
            await storage.refresh_metrics()
            await refresh_metrics(payments)

        checks = HealthChecks(
            database=storage.ping,
            queue_is_full=lambda: payments.is_full,
            broker=lambda: broker_health(relay.is_publishing if relay else None),
            refresh_metrics=refresh,
        )
        yield PaymentService(payments_http(checks, FindPayment(payments) if Role.API in roles else None))
        log.info("stopping")


async def _open_storage(
    settings: PaymentSettings, stack: AsyncExitStack
) -> tuple[PostgresPayments | MemoryPayments, ServiceStorage]:
    if settings.payment_database_url == "memory":
        outbox = MemoryOutbox()
        return MemoryPayments(outbox), memory_storage(SERVICE, outbox)
    dsn = await service_database.resolve(settings.payment_database_url, settings.data_dir, database.NAME)
    if settings.payment_database_url == "embedded":
        await service_database.migrate(dsn, database.MIGRATIONS)
    pool = await stack.enter_async_context(open_pool(dsn))
    payments = PostgresPayments(
        dsn,
        pool,
        connections=settings.commit_connections,
        max_batch=settings.commit_batch_max,
        max_waiting=settings.commit_queue_max,
    )
    stack.push_async_callback(payments.close)
    storage = await stack.enter_async_context(
        postgres_storage(SERVICE, dsn, pool, relay_idle_timeout=settings.relay_idle_timeout_seconds)
    )
    return payments, storage


async def _open_gateway(settings: PaymentSettings, stack: AsyncExitStack) -> PaymentGateway:
    if settings.payment_gateway == SIMULATED:
        return SimulatedGateway(
            limit=settings.simulated_limit,
            delay=settings.simulated_delay_seconds,
            failure_rate=settings.simulated_failure_rate,
        )
    return await stack.enter_async_context(
        open_http_gateway(
            settings.payment_gateway,
            seconds=settings.payment_gateway_timeout_seconds,
            at_once=settings.payment_calls_at_once,
        )
    )


def _now() -> datetime:
    return datetime.now(UTC)
