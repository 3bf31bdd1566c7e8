"""The three services in one process, in memory, behind authentication."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

import httpx
import jwt
from starlette.types import ASGIApp

from http_api.access.access_tokens import AccessTokens
from http_api.access.api_keys import ApiKeys, StoredKey, digest_of, new_key
from http_api.access.authenticate import Authenticate
from http_api.access.jwks import read_keys
from http_api.access.key_ring import KeyRing
from http_api.http_application import http_application
from inventory_service.bootstrap import inventory_service
from inventory_service.settings import InventorySettings
from messaging.brokerless.in_process import InProcessBroker
from messaging.kafka.settings import KafkaSettings
from messaging.runtime.settings import PublisherKind
from messaging.runtime.transport import transport_of
from order_service.bootstrap import order_service
from order_service.settings import OrderSettings
from payment_service.bootstrap import payment_service
from payment_service.settings import PaymentSettings
from shared_kernel.caller import Caller, Scope
from tests.access import issuer

EVERYDAY = frozenset(Scope) - {Scope.OPERATOR, Scope.ORDERS_ON_BEHALF}


@dataclass
class WholeSystem:
    """The application, and the API keys that it knows."""

    client: httpx.AsyncClient
    keys: dict[str, StoredKey] = field(default_factory=dict)
    key_ring: KeyRing[StoredKey] | None = None
    refused: list[tuple[str, str, str, UUID | None, str | None]] = field(default_factory=list)

    async def key_of(self, name: str, scopes: frozenset[Scope] = EVERYDAY) -> str:
        """A new API key."""
        number = f"{len(self.keys):016x}"
        key = new_key(bytes.fromhex(number), "s" * 43)
        self.keys[number] = StoredKey(digest_of(key), Caller(name, scopes))
        await self._reload()
        return key

    async def revoke(self, key: str) -> None:
        """Revoke an API key."""
        number = key.split("_")[1]
        self.keys[number] = replace(self.keys[number], is_revoked=True)
        await self._reload()

    async def _reload(self) -> None:
        assert self.key_ring
        await self.key_ring.refresh()

    async def ask(
        self, method: str, path: str, credential: str | None, body: object = None, **headers: str
    ) -> httpx.Response:
        """Send a request."""
        known = {"Authorization": f"Bearer {credential}"} if credential else {}
        others = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(method, path, json=body, headers=known | others)

    async def settled_order(self, credential: str) -> str:
        """A new order of this caller, which is confirmed."""
        placed = await self.ask("POST", "/orders", credential, {"items": [{"productId": "p1", "quantity": 1}]})
        order_id = str(placed.json()["orderId"])
        settled = await self.ask("GET", f"/orders/{order_id}", credential, Prefer="wait=30")
        assert settled.json()["status"] == "CONFIRMED", settled.text
        return order_id


@asynccontextmanager
async def whole_system() -> AsyncIterator[WholeSystem]:
    """The system while it runs."""
    broker = InProcessBroker()
    transport = transport_of(PublisherKind.IN_PROCESS, KafkaSettings(), broker)

    async def load_issuer() -> Mapping[str, jwt.PyJWK]:
        return read_keys(issuer.key_set())

    async with AsyncExitStack() as stack:
        services = [
            await stack.enter_async_context(order_service(OrderSettings(order_database_url="memory"), transport)),
            await stack.enter_async_context(
                inventory_service(InventorySettings(inventory_database_url="memory"), transport, samples=True)
            ),
            await stack.enter_async_context(payment_service(PaymentSettings(payment_database_url="memory"), transport)),
        ]
        await stack.enter_async_context(broker.delivering())
        tokens = AccessTokens(issuer.RULES, KeyRing(load_issuer, source="issuer", pause=10.0, keep=1e9))

        system = WholeSystem(httpx.AsyncClient())

        async def load_keys() -> Mapping[str, StoredKey]:
            return dict(system.keys)

        system.key_ring = KeyRing(load_keys, source="keys", pause=0.0, keep=1e9)
        api_keys = ApiKeys(system.key_ring)

        def access(app: ASGIApp) -> ASGIApp:
            return Authenticate(
                app,
                tokens=tokens.caller_of,
                api_keys=api_keys.caller_of,
                note=lambda *refusal: system.refused.append(refusal),
            )

        app = http_application([service.http for service in services], access=access)
        transport_to_app = httpx.ASGITransport(app, raise_app_exceptions=False)
        system.client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport_to_app, base_url="http://oms")
        )
        yield system
