"""One trace leads from POST through both partners to the order's end, over a real broker. What is done later begins a
trace of its own, with a link."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from uuid_utils.compat import uuid7

from messaging.postgres.failures import PostgresFailures
from messaging.postgres.pool import open_pool
from tests.real_parts.kafka import Broker
from tests.real_parts.payment_gateway import RealGateway, real_gateway
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.query import rows
from tests.real_parts.three_services import ThreeServices, three_services
from tests.traces.sink import Seen, Sink, sink

PATIENCE = 180.0
CALLER = "b7ad6b7169203331"

RESERVED = [
    "POST /orders",
    "create inventory-commands ReserveStock",
    "process inventory-commands ReserveStock",
    "create inventory-events StockReserved",
    "process inventory-events StockReserved",
    "create payment-commands ChargePayment",
    "process payment-commands ChargePayment",
]
CAPTURED = [*RESERVED, "create payment-events PaymentCaptured", "process payment-events PaymentCaptured"]
DECLINED = [*RESERVED, "create payment-events PaymentDeclined", "process payment-events PaymentDeclined"]
RELEASED = ["create inventory-commands ReleaseStock", "process inventory-commands ReleaseStock",
            "create inventory-events StockReleased", "process inventory-events StockReleased"]  # fmt: skip
REFUNDED = ["create payment-commands RefundPayment", "process payment-commands RefundPayment",
            "create payment-events PaymentRefunded", "process payment-events PaymentRefunded"]  # fmt: skip


def _all_of(*branches: list[str]) -> set[str]:
    """The paths of a tree that has these branches."""
    return {" > ".join(branch[: length + 1]) for branch in branches for length in range(len(branch))}


@dataclass(slots=True)
class Traced:
    """The three services, what they recorded, and the gateway."""

    services: ThreeServices
    sink: Sink
    gateway: RealGateway

    async def place(self, *products: str) -> tuple[str, str]:
        """Place an order in a new trace. Returns the order and the trace."""
        trace = uuid7().hex
        body = {"items": [{"productId": product, "quantity": 1} for product in products]}
        headers = {"traceparent": f"00-{trace}-{CALLER}-00"}
        async with httpx.AsyncClient(base_url=self.services.url("order"), timeout=30) as client:
            answer = await client.post("/orders", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()["orderId"], trace

    async def until(self, order: str, *statuses: str) -> None:
        """Wait until the order has one of these statuses."""
        status = None
        try:
            async with asyncio.timeout(PATIENCE):
                while status not in statuses:
                    (row,) = await rows(
                        self.services.databases["order"], f"select status from orders where id = '{order}'"
                    )
                    status = row["status"]
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"the order is {status}, and not {' or '.join(statuses)}") from None

    async def until_recorded(self, trace: str, *branches: list[str]) -> list[Seen]:
        """Wait until the trace is the tree of these branches, and return its spans."""
        wanted = _all_of(*branches)
        try:
            await self.sink.until(lambda sink: sink.paths(trace) >= wanted, "the trace")
        finally:
            assert self.sink.paths(trace) - self.ends(trace) == wanted
        return self.sink.of(trace)

    def ends(self, trace: str) -> set[str]:
        """The paths to the event that ends a cancellation. Whichever answer comes last leads to it."""
        return {path for path in self.sink.paths(trace) if path.endswith("create order-events OrderCancelledEvent")}

    async def until_there(self, database: str, table: str) -> None:
        """Wait until a table has a row."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not await rows(database, f"select 1 from {table}"):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{table} stays empty") from None

    async def linked(self, to: tuple[str, str], name: str) -> Seen:
        """Wait for a root that links to a span, and return it."""

        def found(sink: Sink) -> list[Seen]:
            roots = [span for span in list(sink.spans) if not span.parent and span.name.startswith(name)]
            return [span for span in roots if to in span.links]

        await self.sink.until(lambda sink: bool(found(sink)), f"{name} with a link to {to}")
        return found(self.sink)[0]


@pytest_asyncio.fixture
async def traced(broker: Broker, postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Traced]:
    """The three services, which record every trace."""
    with sink() as collector, real_gateway() as gateway:
        environment: dict[str, Any] = {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_TRACES_SAMPLER_ARG": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "PAYMENT_GATEWAY": gateway.url,
            "STEP_TIMEOUT_SECONDS": "3600",
            "PAYMENT_GATEWAY_TIMEOUT_SECONDS": "300",
            "PAYMENT_RECOVERY_SECONDS": "3600",
        }
        async with three_services(broker, postgres, tmp_path, **environment) as services:
            yield Traced(services, collector, gateway)


def _one(spans: list[Seen], label: str) -> Seen:
    return next(span for span in spans if span.label == label)


async def test_a_trace_tells_what_became_of_an_order_and_what_comes_later_links_to_it(traced: Traced) -> None:
    await _confirmed(traced)
    await _declined(traced)
    await _cancelled(traced)
    await _late(traced)
    await _parked(traced)
    await _replayed(traced)


async def _confirmed(traced: Traced) -> None:
    order, trace = await traced.place("p1")

    spans = await traced.until_recorded(
        trace,
        ["POST /orders", "create order-events OrderCreatedEvent"],
        [*RESERVED, "POST /charges"],
        [*CAPTURED, "create order-events OrderConfirmedEvent"],
    )
    request = _one(spans, "POST /orders")
    assert (request.service, request.kind, request.parent) == ("oms-order", "server", CALLER)
    assert request.attributes["http.response.status_code"] == 201
    create, process = (_one(spans, f"{what} inventory-commands ReserveStock") for what in ("create", "process"))
    assert (create.kind, process.kind, process.service) == ("producer", "consumer", "oms-inventory")
    assert process.attributes["messaging.message.conversation_id"] == order
    assert process.attributes["messaging.message.id"] == create.attributes["messaging.message.id"]
    assert process.attributes["messaging.consumer.group.name"] == "inventory-service"
    commits = [span for span in spans if span.name.startswith("COMMIT")]
    assert {span.service for span in commits} == {"oms-order", "oms-inventory", "oms-payment"}
    assert all(span.kind == "client" and span.links for span in commits)
    for name in ("send", "poll"):
        moved = await traced.linked((trace, create.id), name)
        assert moved.kind == "client"
        assert moved.trace != trace


async def _declined(traced: Traced) -> None:
    _, trace = await traced.place("dear")

    await traced.until_recorded(
        trace,
        ["POST /orders", "create order-events OrderCreatedEvent"],
        [*RESERVED, "POST /charges"],
        [*DECLINED, *RELEASED, "create order-events OrderRejectedEvent"],
    )


async def _cancelled(traced: Traced) -> None:
    order, trace = await traced.place("p1")
    await traced.until(order, "CONFIRMED")
    cancel = uuid7().hex
    async with httpx.AsyncClient(base_url=traced.services.url("order"), timeout=30) as client:
        answer = await client.post(f"/orders/{order}/cancel", headers={"traceparent": f"00-{cancel}-{CALLER}-00"})
    assert answer.is_success, answer.text

    spans = await traced.until_recorded(
        cancel,
        ["POST /orders/{orderId}/cancel", *RELEASED],
        ["POST /orders/{orderId}/cancel", *REFUNDED[:2], "POST /refunds"],
        ["POST /orders/{orderId}/cancel", *REFUNDED],
    )
    await traced.until(order, "CANCELLED")
    assert len(traced.ends(cancel)) == 1
    assert trace not in {span.trace for span in spans}


async def _late(traced: Traced) -> None:
    with traced.gateway.slow():
        calls = len(traced.gateway.ledger.calls)
        order, trace = await traced.place("p1")
        await traced.gateway.until(lambda ledger: len(ledger.calls) > calls, "the charge")
        await rows(traced.services.databases["order"], _DEADLINE_IS_NOW.format(order))
        await traced.until_there(traced.services.databases["payment"], "payments where status = 'VOIDING'")
    await traced.until(order, "CANCELLED")

    request = _one(traced.sink.of(trace), "POST /orders")
    decided = await traced.linked((trace, request.id), "decide orders")
    await traced.until_recorded(decided.trace, ["decide orders", *RELEASED], ["decide orders", *REFUNDED[:2]])
    # The charge is still under way when the refund is asked for. Its caller goes on to the refund.
    await traced.until_recorded(
        trace,
        ["POST /orders", "create order-events OrderCreatedEvent"],
        [*RESERVED, "POST /charges"],
        [*RESERVED, "POST /refunds"],
        [*RESERVED, *REFUNDED[2:]],
    )


async def _parked(traced: Traced) -> None:
    payments = traced.services.databases["payment"]
    await rows(payments, "alter table payments add constraint broken check (amount_minor <> 1349)")
    order, trace = await traced.place("p1", "p2")
    await traced.until_there(payments, "parked")
    await rows(payments, "alter table payments drop constraint broken")
    await traced.until(order, "CONFIRMED")

    create = _one(traced.sink.of(trace), "create payment-commands ChargePayment")
    resumed = await traced.linked((trace, create.id), "process payment-commands")
    assert resumed.attributes["messaging.message.conversation_id"] == order
    assert not resumed.is_error


async def _replayed(traced: Traced) -> None:
    trace, span, order = uuid7().hex, uuid7().hex[-16:], str(uuid7())
    await _send_what_nobody_can_read(traced, order, f"00-{trace}-{span}-01")
    await traced.until_there(traced.services.databases["payment"], "dead_letters")
    async with open_pool(traced.services.databases["payment"]) as pool:
        failures = PostgresFailures(pool)
        (dead,) = await failures.dead_letters()
        await failures.replay([dead.id])

    await traced.linked((trace, span), "process payment-commands")


_DEADLINE_IS_NOW = "update orders set deadline = clock_timestamp() where id = '{}'"


async def _send_what_nobody_can_read(traced: Traced, key: str, traceparent: str) -> None:
    kafka = traced.services.kafka
    assert kafka is not None
    headers = {
        "ce_id": str(uuid7()),
        "ce_type": "ChargePayment",
        "ce_source": "/order-service",
        "traceparent": traceparent,
    }
    producer: Any = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await producer.start()
    try:
        await producer.send_and_wait(
            f"{kafka.prefix}payment-commands",
            key=key.encode(),
            value=json.dumps({"amount": None}).encode(),
            headers=[(name, value.encode()) for name, value in headers.items()],
        )
    finally:
        await producer.stop()
