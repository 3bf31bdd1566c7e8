"""The order service's part of an HTTP application."""

from dataclasses import dataclass

from fastapi import FastAPI

from http_api.health import HealthChecks
from http_api.http_application import HttpPart
from order_service.api.errors import ERRORS
from order_service.api.place_order_route import LeanPlaceOrder, document
from order_service.api.routes import add_order_routes
from order_service.application.cancel_order import CancelOrder
from order_service.application.complete_order import CompleteOrder
from order_service.application.find_orders import FindOrders
from order_service.application.place_order import PlaceOrder

TITLE = "Order service"


@dataclass(frozen=True, slots=True)
class OrderUseCases:
    """The use cases that the HTTP API calls."""

    place: PlaceOrder
    find: FindOrders
    cancel: CancelOrder
    complete: CompleteOrder


def orders_http(checks: HealthChecks, use_cases: OrderUseCases | None) -> HttpPart:
    """The service's part of an application. Without use cases it is only the health, for a process without the API."""
    if use_cases is None:
        return HttpPart(TITLE, checks)

    def add_routes(app: FastAPI) -> None:
        document(app)
        add_order_routes(app, use_cases.find, use_cases.cancel, use_cases.complete)

    return HttpPart(TITLE, checks, add_routes, ERRORS, lambda app: LeanPlaceOrder(app, use_cases.place))
