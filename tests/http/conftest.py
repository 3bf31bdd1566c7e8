"""The service behind an HTTP client: with a store in memory, with the real database, or with a store of a test's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest
import pytest_asyncio
from starlette.types import ASGIApp
from uuid_utils.compat import uuid7

from messaging.kafka_settings import KafkaSettings
from order_service.api.application import orders_api
from order_service.api.health import Health, HealthChecks
from order_service.application.cancel_order import CancelOrder
from order_service.application.complete_order import CompleteOrder
from order_service.application.find_orders import FindOrders
from order_service.application.place_order import PlaceOrder
from order_service.application.ports import OrderStore
from order_service.bootstrap import OrderService, order_service
from order_service.settings import OrderSettings, PublisherKind, Role


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
    async with order_service(settings, kafka or KafkaSettings(), frozenset(Role if kafka else {Role.API})) as service:
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


def app_on(store: OrderStore) -> ASGIApp:
    """The API on a store of the test's own."""

    async def nothing() -> None: ...

    checks = HealthChecks(nothing, lambda: False, lambda: Health.UNKNOWN, nothing)
    use_cases = (
        PlaceOrder(store, _now, uuid7),
        FindOrders(store),
        CancelOrder(store, _now, uuid7),
        CompleteOrder(store, _now, uuid7),
    )
    return orders_api(checks, use_cases)


@asynccontextmanager
async def api_on(store: OrderStore) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that."""
    async with client_of(app_on(store)) as client:
        yield client


def _now() -> datetime:
    return datetime.now(UTC)
