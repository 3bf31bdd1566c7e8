"""An installation on a cluster of the pod runner, over real databases and a real broker; its customers, its audit."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import httpx

from tests.cli.commands import oms
from tests.real_parts.kafka import Broker
from tests.real_parts.kubernetes.cluster import Cluster, cluster_on
from tests.real_parts.kubernetes.pod import Machine
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.steady_customers import Customers
from tests.real_parts.three_services import ThreeServices, put_products, service_databases

SETTLES_WITHIN = 180.0
_NOBODY = "http://127.0.0.1:9/jwks.json"
"""The issuer of access tokens is away. Customers have API keys."""
ORDER = {"items": [{"productId": "p1", "quantity": 1}]}


@dataclass(slots=True)
class Installation:
    """A cluster and what stays when its pods go."""

    cluster: Cluster
    databases: Mapping[str, str]
    folder: Path
    headers: dict[str, str] = field(default_factory=dict)

    async def make_api_key(self) -> None:
        """Give the customers a key with every scope that they need, also for orders of before they had one."""
        scopes = ("orders:write", "orders:read", "catalogue:write", "operator")
        options = [part for scope in scopes for part in ("--scope", scope)]
        urls = {f"{name.upper()}_DATABASE_URL": url for name, url in self.databases.items()}
        made = await oms(self.folder, "api-keys", "create", "shop", *options, **urls)
        assert made.code == 0, made.errors
        self.headers["Authorization"] = f"Bearer {made.output.split()[0]}"

    async def first_order(self) -> str:
        """Put products on sale and place an order; answers the status in which it settles."""
        (catalogue,) = self.cluster.urls("oms-inventory")[:1]
        await put_products(catalogue, headers=self.headers)
        (orders,) = self.cluster.urls("oms-order")[:1]
        async with httpx.AsyncClient(base_url=orders, timeout=SETTLES_WITHIN, headers=self.headers) as client:
            order_id = (await client.post("/orders", json=ORDER)).raise_for_status().json()["orderId"]
            return str((await client.get(f"/orders/{order_id}", headers={"Prefer": "wait=60"})).json()["status"])

    @asynccontextmanager
    async def under_load(self) -> AsyncIterator[Customers]:
        """Customers order meanwhile."""
        customers, stop = Customers(lambda: self.cluster.urls("oms-order"), ORDER, self.headers), asyncio.Event()
        ordering = asyncio.create_task(customers.order_until(stop))
        try:
            yield customers
        finally:
            stop.set()
            await ordering

    async def audit(self, orders: int) -> None:
        """Every one of these orders is there and confirmed, and stock and money agree with them."""
        services = ThreeServices(dict(self.databases), None, _no_process)
        statuses = await services.until_settled(orders, SETTLES_WITHIN)
        assert statuses == {"CONFIRMED": orders}, f"{orders} orders were placed, and they are {dict(statuses)}"
        (await services.audit()).assert_sums_agree()


def _no_process(service: str) -> NoReturn:
    raise AssertionError(f"the processes of {service} are pods")


@asynccontextmanager
async def installation(
    broker: Broker, postgres: PostgresServer, folder: Path, images: Mapping[str, str]
) -> AsyncIterator[Installation]:
    """Empty databases, a broker without topics of this installation, and a cluster without a pod."""
    prefix = f"{uuid.uuid4().hex[:8]}."
    async with service_databases(postgres, migrated=False) as databases:
        machine = Machine(
            folder,
            images,
            secrets={"oms-databases": databases},
            variables={
                "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
                "KAFKA_PREFIX": prefix,
                "AUTH_JWKS_URL": _NOBODY,
            },
        )
        async with cluster_on(machine) as cluster:
            yield Installation(cluster, databases, folder)
