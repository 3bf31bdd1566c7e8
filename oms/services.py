"""The services that this command line can start, and what it must know of each."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from http_api.application import HttpPart
from inventory_service import bootstrap as inventory
from inventory_service.infrastructure import database as inventory_database
from inventory_service.settings import InventorySettings
from messaging.kafka.topics import Topic
from messaging.runtime.settings import ServiceSettings
from order_service import bootstrap as order
from order_service.infrastructure import database as order_database
from order_service.settings import OrderSettings
from payment_service import bootstrap as payment
from payment_service.infrastructure import database as payment_database
from payment_service.settings import PaymentSettings


class ServiceName(StrEnum):
    """What `oms serve` can start."""

    ORDER = "order"
    INVENTORY = "inventory"
    PAYMENT = "payment"


class RunningService(Protocol):
    """What the three services have in common once they run."""

    @property
    def http(self) -> HttpPart:
        """What it brings to an HTTP application."""
        ...

    def stop_taking_requests(self) -> None:
        """Readiness off."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """How a service is configured and started. `start` takes its settings, a transport and the roles to play."""

    name: ServiceName
    port: int
    settings: type[ServiceSettings]
    start: Callable[..., AbstractAsyncContextManager[Any]]
    topics: Sequence[Topic]
    database_name: str
    migrations: Path

    def database_url(self, settings: ServiceSettings) -> str:
        """Its *_DATABASE_URL."""
        return str(getattr(settings, f"{self.name}_database_url"))


SERVICES = {
    service.name: service
    for service in (
        Service(
            ServiceName.ORDER,
            8000,
            OrderSettings,
            order.order_service,
            order.TOPICS,
            order_database.NAME,
            order_database.MIGRATIONS,
        ),
        Service(
            ServiceName.INVENTORY,
            8001,
            InventorySettings,
            inventory.inventory_service,
            inventory.TOPICS,
            inventory_database.NAME,
            inventory_database.MIGRATIONS,
        ),
        Service(
            ServiceName.PAYMENT,
            8002,
            PaymentSettings,
            payment.payment_service,
            payment.TOPICS,
            payment_database.NAME,
            payment_database.MIGRATIONS,
        ),
    )
}
TOPICS = [topic for service in SERVICES.values() for topic in service.topics]
EVENT_TOPICS = ["order-events", "inventory-events", "payment-events"]
