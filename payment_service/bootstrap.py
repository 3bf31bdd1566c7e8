"""The wiring of the whole payment service. Only this module constructs its adapters."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from datetime import timedelta
from uuid import uuid4

import structlog

from http_api.running_service import RunningService, health_of
from messaging.kafka.topics import Topic
from messaging.postgres.tables import EVERY_SERVICES
from messaging.runtime.clock import now
from messaging.runtime.ids import uuid7
from messaging.runtime.place import place_in
from messaging.runtime.roles import Sweep, run_roles
from messaging.runtime.service import Service
from messaging.runtime.settings import RELAY_ALONE, Role
from messaging.runtime.storage import open_store
from messaging.runtime.transport import Transport
from payment_service.api import payments_http
from payment_service.application.cashier import Cashier
from payment_service.application.find_payment import FindPayment
from payment_service.application.ports import PaymentGateway
from payment_service.application.steps import Steps
from payment_service.application.take_commands import TakeCommands
from payment_service.domain.lease import Holder, Lease
from payment_service.infrastructure import database, event_encoding
from payment_service.infrastructure.command_handling import TOPIC, payment_commands
from payment_service.infrastructure.figures import read_figures
from payment_service.infrastructure.gateway_metrics import WatchedGateway, refresh_metrics
from payment_service.infrastructure.http_gateway import open_http_gateway
from payment_service.infrastructure.memory import MemoryPayments
from payment_service.infrastructure.order_view import view_order
from payment_service.infrastructure.postgres import PostgresPayments
from payment_service.infrastructure.simulated_gateway import SimulatedGateway
from payment_service.settings import SIMULATED, PaymentSettings

_SWEEP_EVERY = 1.0

log = structlog.get_logger("payment-service")


@asynccontextmanager
async def payment_service(
    settings: PaymentSettings, transport: Transport, roles: frozenset[Role] = frozenset(Role)
) -> AsyncIterator[RunningService]:
    """Start the roles. Leaving the block stops them: no new commands are taken, current calls get 1.5 seconds, and
    accepted writes are answered."""
    async with AsyncExitStack() as stack:
        payments, storage = await stack.enter_async_context(
            open_store(SERVICE, settings, roles, in_memory=MemoryPayments, in_postgres=PostgresPayments)
        )
        gateway = WatchedGateway(await stack.enter_async_context(_open_gateway(settings)))
        steps = Steps(payments, now, uuid7)
        lease = Lease(
            timedelta(seconds=settings.payment_recovery_seconds), stack.enter_context(_holder(settings, roles))
        )
        cashier = Cashier(steps, gateway, at_once=settings.payment_calls_at_once, lease=lease)
        stack.push_async_callback(cashier.close)
        relay = await stack.enter_async_context(
            run_roles(
                roles,
                SERVICE.name,
                storage,
                transport,
                subscriptions=[payment_commands(TakeCommands(steps, cashier))],
                sweeps=lambda _: [Sweep("payments in doubt", _SWEEP_EVERY, cashier.sweep)],
            )
        )
        checks = health_of(
            storage,
            relay,
            queue_is_full=lambda: payments.is_full,
            refresh_metrics=(lambda: refresh_metrics(payments)) if roles != RELAY_ALONE else None,
        )
        http = payments_http(checks, FindPayment(payments) if Role.API in roles else None)
        yield RunningService(http, storage.refused.note, on_stop=cashier.finish_soon)
        log.info("stopping")


@contextmanager
def _holder(settings: PaymentSettings, roles: frozenset[Role]) -> Iterator[Holder]:
    """A process that makes calls has a place, unless nothing of it survives."""
    makes_calls = Role.CONSUMER in roles and settings.payment_database_url != "memory"
    place = place_in(settings.data_dir, SERVICE.name) if makes_calls else nullcontext(uuid4().hex)
    with place as name:
        yield Holder(name, uuid4().hex)


@asynccontextmanager
async def _open_gateway(settings: PaymentSettings) -> AsyncIterator[PaymentGateway]:
    if settings.payment_gateway == SIMULATED:
        yield SimulatedGateway(
            limit=settings.simulated_limit,
            delay=settings.simulated_delay_seconds,
            failure_rate=settings.simulated_failure_rate,
        )
        return
    async with open_http_gateway(
        settings.payment_gateway,
        seconds=settings.payment_gateway_timeout_seconds,
        secret=settings.payment_gateway_key,
        tls=settings.gateway_tls(),
    ) as gateway:
        yield gateway


SERVICE = Service(
    name="payment",
    port=8002,
    settings=PaymentSettings,
    produces=(Topic(event_encoding.TOPIC, partitions=4),),
    database_name=database.NAME,
    migrations=database.MIGRATIONS,
    start=payment_service,
    tables=("payments", *EVERY_SERVICES),
    consumes=(TOPIC,),
    view_order=view_order,
    read_figures=read_figures,
)
