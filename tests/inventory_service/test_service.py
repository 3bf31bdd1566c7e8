"""The service as it is wired: commands in, answers out, the catalogue over HTTP, on every store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
from uuid_utils.compat import uuid7

from http_api.running_service import RunningService
from inventory_service.bootstrap import inventory_service
from inventory_service.infrastructure import event_encoding
from inventory_service.settings import InventorySettings
from messaging.brokerless.in_process import InProcessBroker
from messaging.ports.message import Message
from messaging.ports.outbox import Batch
from messaging.ports.record import Record
from messaging.runtime.settings import Role
from tests.inventory_service.commands import items, message
from tests.real_parts.waiting import DEADLINE


class OrderService:
    """Sends commands and gets the answers, as the order service does."""

    def __init__(self, broker: InProcessBroker) -> None:
        self._broker = broker
        self._answers: asyncio.Queue[Record] = asyncio.Queue()

    async def hear(self, records: Sequence[Record]) -> None:
        """A Subscriber of the answers."""
        for record in records:
            self._answers.put_nowait(record)

    async def send(self, *commands: Message) -> None:
        """Return when they are handled. Sending them again is what a crash of a relay does."""
        async with asyncio.timeout(DEADLINE):
            await self._broker.publish(Batch(list(range(len(commands))), commands))

    async def answer(self) -> tuple[str, str]:
        """The next answer: its order and its type."""
        async with asyncio.timeout(DEADLINE):
            record = await self._answers.get()
        assert record.header("ce_source") == "/inventory-service"
        return record.key, record.type


@asynccontextmanager
async def _running(
    database_url: str, roles: frozenset[Role] = frozenset(Role)
) -> AsyncIterator[tuple[RunningService, OrderService]]:
    broker = InProcessBroker()
    orders = OrderService(broker)
    settings = InventorySettings(inventory_database_url=database_url)
    async with (
        broker.deliver("order-service", [event_encoding.TOPIC], orders.hear),
        inventory_service(settings, broker, roles, samples=True) as service,
        broker.delivering(),
    ):
        yield service, orders


async def _get(service: RunningService, path: str) -> tuple[int, Any]:
    transport = httpx.ASGITransport(service.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://inventory") as client:
        answer = await client.get(path)
        return answer.status_code, answer.json()


def _reserve(order: UUID, product: str, pieces: int) -> Message:
    return message("ReserveStock", order, items=items((product, pieces)))


async def test_a_command_is_answered_and_the_catalogue_shows_what_it_did(inventory_database_url: str) -> None:
    order, other = uuid7(), uuid7()
    async with _running(inventory_database_url) as (service, orders):
        await orders.send(_reserve(order, "p5", 4))
        assert await orders.answer() == (str(order), "StockReserved")
        await orders.send(_reserve(other, "p5", 7))
        assert await orders.answer() == (str(other), "StockRejected")

        assert await _get(service, "/products/p5") == (
            200,
            {
                "productId": "p5",
                "price": {"amount": "2499.00", "currency": "EUR"},
                "onHand": 10,
                "reserved": 4,
                "available": 6,
            },
        )


async def test_what_was_decided_outlives_the_service_and_a_command_that_comes_again_changes_nothing(
    inventory_database: str,
) -> None:
    order, later = uuid7(), uuid7()
    command = _reserve(order, "p5", 4)
    async with _running(inventory_database) as (_, orders):
        await orders.send(command)
        assert await orders.answer() == (str(order), "StockReserved")

    async with _running(inventory_database) as (service, orders):
        await orders.send(command, _reserve(later, "p5", 6))
        assert await orders.answer() == (str(later), "StockReserved")

        _, product = await _get(service, "/products/p5")
    assert (product["onHand"], product["reserved"]) == (10, 10)


async def test_the_service_is_ready_until_it_is_told_to_stop(inventory_database_url: str) -> None:
    async with _running(inventory_database_url) as (service, _):
        assert (await _get(service, "/health/ready"))[0] == 200

        service.stop_taking_requests()

        assert (await _get(service, "/health/ready"))[0] == 503
        assert (await _get(service, "/products/p1"))[0] == 200


async def test_a_process_that_only_consumes_has_its_health_and_no_catalogue(inventory_database: str) -> None:
    order = uuid7()
    async with _running(inventory_database, frozenset({Role.CONSUMER})) as (service, orders):
        await orders.send(_reserve(order, "p5", 1))

        status, health = await _get(service, "/health/ready")
        assert (status, health["checks"]["broker"]) == (200, "UNKNOWN")
        assert (await _get(service, "/products/p5"))[0] == 404

    async with _running(inventory_database, frozenset({Role.RELAY})) as (_, orders):
        assert await orders.answer() == (str(order), "StockReserved")
