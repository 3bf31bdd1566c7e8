"""The process of one service, or of all services together."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog

from http_api.access.authenticate import Note
from http_api.access.key_store import load_keys
from http_api.access.opened import Middleware, access
from http_api.access.settings import Auth, AuthSettings
from http_api.http_application import http_application
from http_api.running_service import RunningService
from messaging.brokerless.in_process import InProcessBroker
from messaging.engine.loop_lag import loop_lag_measured
from messaging.kafka.admin import as_kafka_refused
from messaging.kafka.lag import lag_counted
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import create_topics
from messaging.kafka.unstable import unstable_records_counted
from messaging.postgres.address import address_of
from messaging.postgres.pool import open_pool
from messaging.runtime.database import resolve
from messaging.runtime.database_unusable import as_database_unusable
from messaging.runtime.service import Service
from messaging.runtime.settings import PublisherKind, Role, ServiceSettings
from messaging.runtime.transport import Transport, transport_of
from oms.process import listen, serve_until_told, stopping_within_bounds
from oms.screen import say
from oms.services import SERVICES, TOPICS
from oms.showing import Shown, showing
from oms.topics import require_topics, topics_required

log = structlog.get_logger("oms")


async def run_service(
    service: Service,
    settings: ServiceSettings,
    kafka: KafkaSettings,
    auth: AuthSettings,
    roles: frozenset[Role],
    host: str,
    port: int,
    options: Mapping[str, bool],
) -> None:
    """Serve one service until told to stop. `options` are arguments of its `start`."""
    listening = listen(host, port, settings.metrics_port)
    warn_of_readers({service.name: settings}, kafka)
    transport = transport_of(settings.event_publisher, kafka, InProcessBroker())
    async with AsyncExitStack() as stack:
        stack.enter_context(stopping_within_bounds())
        await stack.enter_async_context(loop_lag_measured())
        if settings.event_publisher is PublisherKind.KAFKA and roles & {Role.RELAY, Role.CONSUMER}:
            await stack.enter_async_context(topics_required(kafka))
        running_service = await _start(stack, service, settings, transport, roles, options)
        if settings.event_publisher is PublisherKind.KAFKA:
            await stack.enter_async_context(_partitions_watched(kafka, service, roles))
        # A relay or a consumer has no callers but those of /metrics, if they share its port.
        has_callers = Role.API in roles or settings.metrics_port is None
        guarded = await _access(stack, auth, service, settings, running_service.note_refusal, has_callers=has_callers)
        await serve_until_told(
            http_application([running_service.http], metrics_port=settings.metrics_port, access=guarded),
            listening,
            tls=settings.http_tls(),
            keep_alive_seconds=settings.http_keep_alive_seconds,
            on_stop=running_service.stop_taking_requests,
            on_started=lambda: say(
                f"{service.name} service ({', '.join(sorted(roles))}) on {_at(host, port, settings)}, docs at /docs; "
                f"publishing: {settings.event_publisher}{_metrics_at(host, settings)}"
            ),
        )


def warn_of_readers(settings: Mapping[str, ServiceSettings], kafka: KafkaSettings) -> None:
    """Say what goes to other machines so that somebody on the way may read it."""
    for name, its in settings.items():
        url = SERVICES[name].database_url(its)
        if "://" in url and address_of(url).is_readable:
            log.warning("not encrypted", to=f"the database of {name}", mend="sslmode=verify-full in its URL")
    if any(its.event_publisher is PublisherKind.KAFKA for its in settings.values()) and kafka.is_readable:
        log.warning("not encrypted", to="Kafka", mend="KAFKA_SECURITY_PROTOCOL=SASL_SSL or SSL")


async def _start(
    stack: AsyncExitStack,
    service: Service,
    settings: ServiceSettings,
    transport: Transport,
    roles: frozenset[Role],
    options: Mapping[str, bool],
) -> RunningService:
    """Start a service, which runs until the stack is left. Raises DatabaseUnusable."""
    with as_database_unusable(service):
        running: RunningService = await stack.enter_async_context(service.start(settings, transport, roles, **options))
    return running


async def _access(
    stack: AsyncExitStack,
    auth: AuthSettings,
    service: Service,
    settings: ServiceSettings,
    note: Note,
    *,
    has_callers: bool = True,
) -> Middleware:
    """The middleware that finds out who calls, with the API keys of `service`, read over a session of their own. A
    service in memory has none. With AUTH=off, and in a process without callers, nothing is opened."""
    url, load = service.database_url(settings), None
    if has_callers and auth.auth is Auth.REQUIRED and url != "memory":
        dsn = await resolve(url, settings.data_dir, service.database_name)
        load = partial(load_keys, await stack.enter_async_context(open_pool(dsn)))
    return await stack.enter_async_context(access(auth, load, note, has_callers=has_callers))


@asynccontextmanager
async def _partitions_watched(kafka: KafkaSettings, service: Service, roles: frozenset[Role]) -> AsyncIterator[None]:
    """Watch what a service writes and reads, in processes that speak to Kafka. The relay watches the lag, too, so that
    it shows while no consumer runs."""
    async with AsyncExitStack() as stack:
        if Role.RELAY in roles:
            topics = [topic.name for topic in service.topics]
            await stack.enter_async_context(unstable_records_counted(kafka, topics))
        if roles & {Role.RELAY, Role.CONSUMER}:
            await stack.enter_async_context(lag_counted(kafka, service.name, service.consumes))
        yield


async def run_all(
    settings: Mapping[str, ServiceSettings],
    kafka: KafkaSettings,
    auth: AuthSettings,
    host: str,
    port: int,
    *,
    samples: bool,
    quiet: bool,
    events: bool = False,
) -> None:
    """Serve all services from one process until told to stop, and print a line for each order, or for each event, or
    nothing."""
    process = settings["order"]  # what concerns the process is the same for every service
    listening = listen(host, port, process.metrics_port)
    kind = process.event_publisher
    warn_of_readers(settings, kafka)
    broker = InProcessBroker()
    transport = transport_of(kind, kafka, broker)
    async with AsyncExitStack() as stack:
        stack.enter_context(stopping_within_bounds())
        await stack.enter_async_context(loop_lag_measured())
        if kind is PublisherKind.KAFKA:
            with as_kafka_refused(kafka):
                await create_topics(kafka, TOPICS)
            await require_topics(kafka)
            for service in SERVICES.values():
                await stack.enter_async_context(_partitions_watched(kafka, service, frozenset(Role)))
        shown = Shown.NOTHING if quiet else Shown.EVENTS if events else Shown.ORDERS
        await stack.enter_async_context(showing(shown, kind, kafka, transport))
        options = {"inventory": {"samples": samples}}
        services = [
            await _start(stack, service, settings[name], transport, frozenset(Role), options.get(name, {}))
            for name, service in SERVICES.items()
        ]
        await stack.enter_async_context(broker.delivering())

        def stop() -> None:
            for service in services:
                service.stop_taking_requests()

        # Every service has every key, so those of one are enough.
        guarded = await _access(stack, auth, SERVICES["order"], process, services[0].note_refusal)
        await serve_until_told(
            http_application([service.http for service in services], metrics_port=process.metrics_port, access=guarded),
            listening,
            tls=process.http_tls(),
            keep_alive_seconds=process.http_keep_alive_seconds,
            on_stop=stop,
            on_started=lambda: say(
                f"orders, inventory and payments on {_at(host, port, process)}, docs at /docs; publishing: {kind}"
                f"{_metrics_at(host, process)}"
            ),
        )


def _at(host: str, port: int, settings: ServiceSettings) -> str:
    return f"http{'s' if settings.http_tls_certfile else ''}://{host}:{port}"


def _metrics_at(host: str, settings: ServiceSettings) -> str:
    return f"; health and metrics on {_at(host, settings.metrics_port, settings)}" if settings.metrics_port else ""
