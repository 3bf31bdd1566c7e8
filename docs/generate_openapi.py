"""Write docs/openapi.yaml: the HTTP API of all services, as `oms up` serves it at /openapi.json.

Run `python -m docs.generate_openapi` after changing a route. A process that serves one service has the paths of that
service, and health and metrics.
"""

import asyncio
from pathlib import Path
from typing import Any

import httpx

from docs.yaml_text import yaml_text
from http_api.http_application import http_application
from inventory_service.api import InventoryUseCases, inventory_http
from order_service.api.http_part import OrderUseCases, orders_http
from payment_service.api import payments_http

PAGE = Path(__file__).parent / "openapi.yaml"

_NOBODY: Any = object()
"""In the place of use cases and checks, because nothing is asked but what the API is."""


def document() -> dict[str, Any]:
    """The whole document, with its paths in the order of the alphabet."""
    return asyncio.run(_document())


async def _document() -> dict[str, Any]:
    parts = [
        orders_http(_NOBODY, OrderUseCases(_NOBODY, _NOBODY, _NOBODY, _NOBODY)),
        inventory_http(_NOBODY, InventoryUseCases(_NOBODY, _NOBODY, _NOBODY)),
        payments_http(_NOBODY, _NOBODY),
    ]
    transport = httpx.ASGITransport(http_application(parts))
    async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
        answer = await client.get("/openapi.json")
        answer.raise_for_status()
        described: dict[str, Any] = answer.json()
        return described | {"paths": dict(sorted(described["paths"].items()))}


def main() -> None:
    """Bring the file up to date."""
    PAGE.write_text(yaml_text(document()), encoding="utf-8")


if __name__ == "__main__":
    main()
