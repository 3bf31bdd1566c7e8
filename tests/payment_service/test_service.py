"""The whole service as it is wired for production: commands in, events out, and payments to look at over HTTP."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import ValidationError
from uuid_utils.compat import uuid7

from messaging.brokerless.in_process import InProcessBroker
from messaging.ports.message import Message
from messaging.ports.outbox import Batch
from messaging.ports.record import Record
from messaging.runtime.settings import Role
from payment_service.application.cashier import Cashier
from payment_service.bootstrap import payment_service
from payment_service.settings import PaymentSettings
from tests.http.answers import assert_error
from tests.payment_service.commands import command
from tests.payment_service.far_gateway import until
from tests.real_parts.payment_gateway import RealGateway


@dataclass
class Around:
    """What is around a running service: who sends it commands, who hears its events, who reads over HTTP."""

    broker: InProcessBroker
    http: httpx.AsyncClient
    heard: list[Record] = field(default_factory=list)

    async def send(self, *messages: Message) -> None:
        """Returns when the service has taken them."""
        await self.broker.publish(Batch(list(range(1, len(messages) + 1)), messages))

    async def event(self, order_id: UUID, kind: str) -> dict[str, Any]:
        """The order's first event of this type, when it is published."""

        def found() -> list[Record]:
            return [record for record in self.heard if record.key == str(order_id) and record.type == kind]

        await until(lambda: bool(found()), f"{kind} is published for {order_id}")
        value: dict[str, Any] = json.loads(found()[0].value)
        return value


@asynccontextmanager
async def service_with_all_around(**settings: Any) -> AsyncIterator[Around]:
    """A service, running, with a broker in this process."""
    broker = InProcessBroker()
    heard: list[Record] = []

    async def hear(records: Sequence[Record]) -> None:
        heard.extend(records)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(broker.deliver("test", ["payment-events"], hear))
        folder = {"data_dir": Path(stack.enter_context(TemporaryDirectory()))}
        service = await stack.enter_async_context(payment_service(PaymentSettings(**folder | settings), broker))
        await stack.enter_async_context(broker.delivering())
        transport = httpx.ASGITransport(service.app, raise_app_exceptions=False)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://payments"))
        yield Around(broker, http, heard)


@pytest.fixture(params=["memory", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """PAYMENT_DATABASE_URL."""
    return "memory" if request.param == "memory" else str(request.getfixturevalue("payments_database"))


async def test_a_charge_is_captured_and_a_refund_gives_it_back(database_url: str) -> None:
    order = uuid7()
    async with service_with_all_around(payment_database_url=database_url) as around:
        await around.send(command("ChargePayment", order))
        captured = await around.event(order, "PaymentCaptured")
        seen = (await around.http.get(f"/payments/{order}")).json()
        await around.send(command("RefundPayment", order))
        refunded = await around.event(order, "PaymentRefunded")
        at_last = (await around.http.get(f"/payments/{order}")).json()

    assert captured["amount"] == {"amount": "29.90", "currency": "EUR"}
    assert captured["reference"] == f"simulated-{order}"
    assert refunded["amount"] == {"amount": "29.90", "currency": "EUR"}
    assert {name: seen[name] for name in seen if not name.endswith("At")} == {
        "orderId": str(order),
        "status": "CAPTURED",
        "amount": {"amount": "29.90", "currency": "EUR"},
        "reason": None,
        "reference": f"simulated-{order}",
        "attempts": 1,
    }
    assert seen["createdAt"].endswith("Z")
    assert seen["updatedAt"] >= seen["createdAt"]
    assert at_last["status"] == "REFUNDED"


async def test_a_charge_over_the_limit_is_declined_for_everyone_to_see(database_url: str) -> None:
    order = uuid7()
    reason = "the amount 29.90 EUR is over the limit of 29.89"
    async with service_with_all_around(payment_database_url=database_url, simulated_limit=Decimal("29.89")) as around:
        await around.send(command("ChargePayment", order))
        declined = await around.event(order, "PaymentDeclined")
        seen = (await around.http.get(f"/payments/{order}")).json()

    assert declined["reason"] == reason
    assert (seen["status"], seen["reason"], seen["reference"]) == ("DECLINED", reason, None)


async def test_five_hundred_commands_at_once_are_all_answered(payments_database: str) -> None:
    orders = [uuid7() for _ in range(500)]
    async with service_with_all_around(payment_database_url=payments_database) as around:
        await around.send(*(command("ChargePayment", order) for order in orders))
        await until(lambda: len(around.heard) == 500, "all are answered")

    assert {record.key for record in around.heard} == {str(order) for order in orders}
    assert {record.type for record in around.heard} == {"PaymentCaptured"}


async def test_a_service_that_is_stopped_during_a_call_finishes_it_when_it_runs_again(
    payments_database: str, gateway: RealGateway
) -> None:
    order = uuid7()
    settings = {
        "payment_database_url": payments_database,
        "payment_gateway": gateway.url,
        "payment_gateway_timeout_seconds": 0.2,
        "payment_recovery_seconds": 0.5,
    }
    with gateway.slow():
        async with service_with_all_around(**settings) as around:
            await around.send(command("ChargePayment", order))
            await gateway.until(lambda ledger: len(ledger.calls) > 0, "the call")
    async with service_with_all_around(**settings) as around:
        captured = await around.event(order, "PaymentCaptured")

    assert captured["reference"] == "ch_1"
    assert len(gateway.ledger.charges) == 1
    assert set(gateway.ledger.calls) == {f"{order}:charge"}


async def test_a_payment_that_nobody_asked_for_is_not_found(database_url: str) -> None:
    order = uuid7()
    async with service_with_all_around(payment_database_url=database_url) as around:
        answer = await around.http.get(f"/payments/{order}")

    assert_error(answer, 404, "Not found", {"orderId": f"there is no payment for the order {order}"})


async def test_an_order_id_that_is_no_uuid_is_a_bad_request() -> None:
    async with service_with_all_around(payment_database_url="memory") as around:
        answer = await around.http.get("/payments/seven")

    assert_error(answer, 400, "Validation failed", {"orderId": "orderId must be a UUID"})


async def test_other_methods_and_paths_are_refused_in_the_same_shape() -> None:
    async with service_with_all_around(payment_database_url="memory") as around:
        assert_error(await around.http.post(f"/payments/{uuid7()}"), 405)
        assert_error(await around.http.get("/payments"), 404)


async def test_the_documentation_has_the_route_and_its_errors() -> None:
    async with service_with_all_around(payment_database_url="memory") as around:
        document = (await around.http.get("/openapi.json")).json()

    assert set(document["paths"]["/payments/{orderId}"]["get"]["responses"]) >= {"200", "400", "404", "503"}


async def test_metrics_say_what_became_of_calls_and_how_many_payments_are_in_doubt(gateway: RealGateway) -> None:
    def value(metrics: str, name: str) -> float:
        return next((float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(name)), 0.0)

    captured = 'oms_payment_calls_total{kind="charge",outcome="captured"}'
    settings = {"payment_database_url": "memory", "payment_gateway": gateway.url}
    async with service_with_all_around(**settings) as around:
        before = (await around.http.get("/metrics")).text
        with gateway.slow():
            await around.send(command("ChargePayment", order := uuid7()))
            during = (await around.http.get("/metrics")).text
        await around.event(order, "PaymentCaptured")
        after = (await around.http.get("/metrics")).text

    assert [value(text, "oms_payments_in_doubt") for text in (before, during, after)] == [0, 1, 0]
    assert value(after, captured) == value(before, captured) + 1


async def test_readiness_goes_when_the_service_is_told_to_stop() -> None:
    broker = InProcessBroker()
    async with payment_service(PaymentSettings(payment_database_url="memory"), broker) as service:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://payments") as http:
            assert (await http.get("/health/ready")).status_code == 200
            service.stop_taking_requests()
            assert (await http.get("/health/ready")).status_code == 503


async def test_a_process_without_the_role_api_serves_its_health_and_no_payments() -> None:
    settings = PaymentSettings(payment_database_url="memory")
    async with payment_service(settings, InProcessBroker(), frozenset({Role.CONSUMER})) as service:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://payments") as http:
            assert (await http.get("/health/live")).status_code == 200
            assert (await http.get(f"/payments/{uuid7()}")).status_code == 404
            assert "/payments/{orderId}" not in (await http.get("/openapi.json")).json()["paths"]


@pytest.mark.parametrize(
    "gateway_address", ["simulated", "http://localhost:9000", "https://payments.example.com/v1", "http://[::1]:80/"]
)
def test_a_gateway_is_simulated_or_has_an_address(gateway_address: str) -> None:
    assert PaymentSettings(payment_gateway=gateway_address).payment_gateway == gateway_address


@pytest.mark.parametrize(
    "gateway_address", ["", "Simulated", "paypal", "ftp://x", "http://", "https:///path", "http://x:port", "http://x:0"]
)
def test_anything_else_stops_the_start_with_a_sentence(gateway_address: str) -> None:
    with pytest.raises(ValidationError, match="must be simulated or an address such as https://"):
        PaymentSettings(payment_gateway=gateway_address)


@pytest.mark.parametrize(
    "wrong",
    [
        {"simulated_failure_rate": 1.1},
        {"simulated_delay_seconds": -1},
        {"simulated_limit": "-1"},
        {"payment_recovery_seconds": 0},
        {"payment_gateway": "https://payments.example.com", "payment_gateway_timeout_seconds": 7.5},
        {"payment_calls_at_once": 0},
        {"payment_gateway_timeout_seconds": 0},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_number_that_cannot_be_stops_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PaymentSettings(**wrong)


async def test_the_calls_at_hand_are_told_of_the_stop_when_the_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Cashier] = []
    monkeypatch.setattr(Cashier, "finish_soon", lambda cashier: told.append(cashier))
    async with payment_service(PaymentSettings(payment_database_url="memory"), InProcessBroker()) as service:
        assert not told
        service.stop_taking_requests()
        assert told
