"""The services that the command line knows. A new service is one more line here."""

from collections.abc import Mapping

import typer

from inventory_service.bootstrap import SERVICE as INVENTORY
from messaging.runtime.service import Service
from order_service.bootstrap import SERVICE as ORDER
from payment_service.bootstrap import SERVICE as PAYMENT

SERVICES: Mapping[str, Service] = {
    service.name: service
    for service in (
        ORDER,
        INVENTORY,
        PAYMENT,
    )
}
TOPICS = [topic for service in SERVICES.values() for topic in service.topics]
EVENT_TOPICS = [topic.name for topic in TOPICS if topic.name.endswith("-events")]


def service_named(name: str) -> Service:
    """The service that an argument names. Raises BadParameter."""
    if name not in SERVICES:
        raise typer.BadParameter(f"the services are {', '.join(SERVICES)}, not {name!r}")
    return SERVICES[name]
