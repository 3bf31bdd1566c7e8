"""The service behind an HTTP client: with a store in memory, with the real database, or with a store of a test's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import pytest_asyncio
from starlette.types import ASGIApp
from uuid_utils.compat import uuid7

from http_api.health import Health, HealthChecks
from http_api.http_application import http_application
from messaging.brokerless.in_process import InProcessBroker
from messaging.kafka.settings import KafkaSettings
from messaging.ports.store_health import HEALTHY, StoreHealth
from messaging.runtime.settings import PublisherKind, Role
from messaging.runtime.transport import transport_of
from order_service.api.http_part import OrderUseCases, orders_http
from order_service.application.cancel_order import CancelOrder
from order_service.application.complete_order import CompleteOrder
from order_service.application.find_orders import FindOrders
from order_service.application.fulfil_order import FulfilOrder
from order_service.application.moments import Moments
from order_service.application.place_order import PlaceOrder
from order_service.application.ports import OrderStore
from order_service.bootstrap import OrderService, order_service
from order_service.settings import OrderSettings


@asynccontextmanager
async def client_of(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """A client that gets the answer also when the application fails."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
        yield client


@asynccontextmanager
async def running_service(database_url: str, kafka: KafkaSettings | None = None) -> AsyncIterator[OrderService]:
    """The service as it is wired for production. It relays, too, when it is told a broker."""
    settings = OrderSettings(
        order_database_url=database_url, event_publisher=PublisherKind.KAFKA if kafka else PublisherKind.LOGGING
    )
    transport = transport_of(settings.event_publisher, kafka or KafkaSettings(), InProcessBroker())
    roles = frozenset({Role.API, Role.RELAY} if kafka else {Role.API})
    async with order_service(settings, transport, roles) as service:
        yield service


@pytest.fixture(params=["memory", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """ORDER_DATABASE_URL."""
    return "memory" if request.param == "memory" else str(request.getfixturevalue("database"))


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The service on every kind of store."""
    async with running_service(database_url) as service, client_of(service.app) as client:
        yield client


@pytest_asyncio.fixture
async def memory_api() -> AsyncIterator[httpx.AsyncClient]:
    """The service with its orders in memory: for what never gets as far as the store."""
    async with running_service("memory") as service, client_of(service.app) as client:
        yield client


_MOMENTS = Moments(lambda: datetime.now(UTC), uuid7, timedelta(seconds=30))


def app_on(store: OrderStore, stopping: asyncio.Event | None = None) -> ASGIApp:
    """The API on a store of the test's own."""

    async def health() -> StoreHealth:
        return HEALTHY

    async def nothing() -> None: ...

    checks = HealthChecks(health, lambda: False, lambda: Health.UNKNOWN, nothing, stopping or asyncio.Event())
    fulfil = fulfil_on(store)
    use_cases = OrderUseCases(
        PlaceOrder(store, _MOMENTS, uuid7),
        FindOrders(store, checks.stopping),
        CancelOrder(fulfil),
        CompleteOrder(fulfil),
    )
    return http_application([orders_http(checks, use_cases)])


def fulfil_on(store: OrderStore) -> FulfilOrder:
    """What happens to the orders of a store beside what HTTP asks for."""
    return FulfilOrder(store, _MOMENTS)


@asynccontextmanager
async def api_on(store: OrderStore, stopping: asyncio.Event | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that."""
    async with client_of(app_on(store, stopping)) as client:
        yield client
