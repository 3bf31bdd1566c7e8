"""The HTTP application: routes, errors and what surrounds every request."""

from fastapi import FastAPI
from starlette.types import ASGIApp

from order_service.api.errors import install_error_handlers
from order_service.api.health import HealthChecks, add_health_routes
from order_service.api.place_order_route import LeanPlaceOrder, document
from order_service.api.request_context import RequestContext
from order_service.api.routes import add_order_routes
from order_service.api.schemas import ErrorView
from order_service.application.cancel_order import CancelOrder
from order_service.application.complete_order import CompleteOrder
from order_service.application.find_orders import FindOrders
from order_service.application.place_order import PlaceOrder

DESCRIPTION = """Orders are stored durably before they are acknowledged, and published exactly once.

Every error has the shape `{status, message, errors, timestamp}`, where `errors` maps a field's path to a sentence."""


def orders_api(
    checks: HealthChecks, use_cases: tuple[PlaceOrder, FindOrders, CancelOrder, CompleteOrder] | None
) -> ASGIApp:
    """The whole application, or only its health and metrics when this process serves no orders."""
    any_other = {"model": ErrorView, "description": "Any other error, in the same shape"}
    app = FastAPI(
        title="Order service", version="1", description=DESCRIPTION, redoc_url=None, responses={"default": any_other}
    )
    install_error_handlers(app)
    add_health_routes(app, checks)
    if use_cases is None:
        return RequestContext(app)
    place, find, cancel, complete = use_cases
    document(app)
    add_order_routes(app, find, cancel, complete)
    return RequestContext(LeanPlaceOrder(app, place))
