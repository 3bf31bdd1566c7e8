"""A process dies, or seems to, while it waits for the gateway. Its calls are made again at once, or not at all."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from uuid_utils.compat import uuid7

from messaging.brokerless.in_process import InProcessBroker
from messaging.ports.outbox import Batch
from payment_service.bootstrap import payment_service
from payment_service.settings import PaymentSettings
from tests.payment_service.commands import command
from tests.real_parts.order_process import ORDER
from tests.real_parts.payment_gateway import RealGateway, real_gateway
from tests.real_parts.postgres import PostgresServer, postgres_server
from tests.real_parts.three_services import ThreeServices, all_in_one

ORDERS = 20
# Nothing here waits for a lease or a deadline: they are longer than the run.
A_LEASE_OF_AN_HOUR = {
    "PAYMENT_RECOVERY_SECONDS": "3600",
    "PAYMENT_GATEWAY_TIMEOUT_SECONDS": "300",
    "STEP_TIMEOUT_SECONDS": "3600",
}


@pytest.fixture
def gateway() -> Iterator[RealGateway]:
    """A real gateway, with empty books."""
    with real_gateway() as running:
        yield running


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of this test's own: it will be stopped."""
    with postgres_server() as running:
        yield running


async def test_what_a_killed_process_had_begun_is_settled_by_the_next_one_without_waiting_for_the_lease(
    postgres: PostgresServer, gateway: RealGateway, tmp_path: Path
) -> None:
    environment = {"PAYMENT_GATEWAY": gateway.url, **A_LEASE_OF_AN_HOUR}
    async with all_in_one(postgres, tmp_path, **environment) as services:
        with gateway.slow():
            await _place(services, ORDERS)
            await gateway.until(lambda ledger: len(ledger.calls) == ORDERS, "the calls")
            services.kill("order")
        await asyncio.to_thread(services.start, "order")
        statuses = await services.until_settled(ORDERS)
        audit = await services.audit()

    assert statuses == {"CONFIRMED": ORDERS}
    assert len(gateway.ledger.charges) == ORDERS, "no customer paid twice"
    assert len(gateway.ledger.calls) <= 2 * ORDERS, "each call was made again at most once"
    audit.assert_sums_agree()


async def test_while_its_caller_lives_no_call_is_made_again_though_the_caller_hangs_and_the_database_restarts(
    server: PostgresServer, gateway: RealGateway, tmp_path: Path
) -> None:
    environment = {"PAYMENT_GATEWAY": gateway.url, **A_LEASE_OF_AN_HOUR}
    async with all_in_one(server, tmp_path, **environment) as services:
        with gateway.slow():
            await _place(services, ORDERS)
            await gateway.until(lambda ledger: len(ledger.calls) == ORDERS, "the calls")
            services.processes["order"].send(signal.SIGSTOP)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            begun = list(gateway.ledger.calls)
            await _a_neighbour_sweeps(services.databases["payment"], gateway, tmp_path / "data")
            again = gateway.ledger.calls[ORDERS:]
            assert not set(begun) & set(again), "calls under way were made again"
            services.processes["order"].send(signal.SIGCONT)
        await services.until_settled(ORDERS)

    assert [key for key in gateway.ledger.calls if key in begun] == begun, "each call was made once"


async def _place(services: ThreeServices, orders: int) -> None:
    async with httpx.AsyncClient(base_url=services.url("order"), timeout=60) as client:
        answers = await asyncio.gather(*(client.post("/orders", json=ORDER) for _ in range(orders)))
    assert {answer.status_code for answer in answers} == {201}


async def _a_neighbour_sweeps(database: str, gateway: RealGateway, data_dir: Path) -> None:
    """Start another instance of the service. It has swept, and more than once, when it repeats a call of its own that
    got no answer."""
    order = uuid7()
    gateway.answer_with((503, b""), (503, b""), (503, b""))  # all tries of the first call
    settings = PaymentSettings(payment_database_url=database, payment_gateway=gateway.url, data_dir=data_dir)
    broker = InProcessBroker()
    async with payment_service(settings, broker), broker.delivering():
        await broker.publish(Batch([1], [command("ChargePayment", order)]))
        await gateway.until(lambda ledger: ledger.calls.count(f"{order}:charge") > 3, "the repetition by a sweep")
