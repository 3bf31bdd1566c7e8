"""The catalogue as clients reach it: the API on a store, and a product to put."""

import httpx

from http_api.health import Health, HealthChecks
from http_api.http_application import http_application
from inventory_service.api import InventoryUseCases, inventory_http
from inventory_service.application import FindProducts, PutProduct, SetPrice, StockStore
from messaging.ports.store_health import HEALTHY, StoreHealth

PRODUCT = {"price": {"amount": "12.50", "currency": "EUR"}, "onHand": 10}


def client_of(store: StockStore) -> httpx.AsyncClient:
    """A client of the API on this store."""

    async def health() -> StoreHealth:
        return HEALTHY

    async def nothing() -> None: ...

    checks = HealthChecks(health, lambda: False, lambda: Health.UNKNOWN, nothing)
    app = http_application(
        [inventory_http(checks, InventoryUseCases(PutProduct(store), SetPrice(store), FindProducts(store)))]
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://inventory")
