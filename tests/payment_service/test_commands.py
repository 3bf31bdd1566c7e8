"""Commands through the consumer: each has its effect once, and what is none becomes a dead letter with its reason."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from uuid_utils.compat import uuid7

from messaging.engine.consumer import Consumer
from messaging.memory.failures import MemoryFailures
from messaging.ports.record import Record
from payment_service.application.cashier import Cashier
from payment_service.application.steps import Steps
from payment_service.application.take_commands import TakeCommands
from payment_service.domain.payment import PaymentStatus
from payment_service.infrastructure.command_handling import payment_commands
from payment_service.infrastructure.simulated_gateway import SimulatedGateway
from tests.payment_service.commands import CHARGE, command, delivered
from tests.payment_service.conftest import StoreUnderTest
from tests.payment_service.far_gateway import until
from tests.payment_service.payments import LEASE


@dataclass(frozen=True, slots=True)
class Counter:
    """Where commands are handed in, with what becomes of them."""

    store: StoreUnderTest
    consumer: Consumer
    cashier: Cashier
    failures: MemoryFailures

    async def events(self, *records: Record) -> list[str]:
        """Hand the records in, finish what they lead to, and answer the events that were left to be published."""
        await self.consumer.handle(records)
        await until(lambda: not self.cashier._at_hand, "no call is at hand")
        return [kind for _, kind in await self.store.messages()]


@pytest_asyncio.fixture
async def counter(store: StoreUnderTest) -> AsyncIterator[Counter]:
    """The service between its topic and its store, on every kind of store."""
    steps = Steps(store.payments, lambda: datetime.now(UTC), uuid7)
    cashier = Cashier(steps, SimulatedGateway(limit=Decimal("1000.00")), at_once=8, lease=LEASE)
    failures = MemoryFailures()
    yield Counter(
        store, Consumer("payment", [payment_commands(TakeCommands(steps, cashier))], failures), cashier, failures
    )
    await cashier.close()


async def test_a_charge_is_answered_with_captured(counter: Counter) -> None:
    order = uuid7()

    assert await counter.events(delivered(command("ChargePayment", order))) == ["PaymentCaptured"]

    payment = await counter.store.payments.find(order)
    assert payment is not None
    assert payment.status is PaymentStatus.CAPTURED


async def test_a_charge_over_the_limit_is_answered_with_declined(counter: Counter) -> None:
    dear = command("ChargePayment", uuid7(), {"amount": {"amount": "2499.00", "currency": "EUR"}})

    assert await counter.events(delivered(dear)) == ["PaymentDeclined"]


async def test_every_command_delivered_again_changes_nothing(counter: Counter) -> None:
    orders = [uuid7() for _ in range(20)]
    messages = [command(kind, order) for order in orders for kind in ("ChargePayment", "RefundPayment")]
    first = await counter.events(*map(delivered, messages))
    payments = [await counter.store.payments.find(order) for order in orders]

    assert await counter.events(*map(delivered, messages)) == first

    assert [await counter.store.payments.find(order) for order in orders] == payments
    assert {payment.status for payment in payments if payment} == {PaymentStatus.REFUNDED}
    assert len(await counter.store.claims()) == 40
    assert counter.failures.dead == []


async def test_a_refund_that_comes_before_its_charge_refuses_it(counter: Counter) -> None:
    order = uuid7()

    events = await counter.events(
        delivered(command("RefundPayment", order)), delivered(command("ChargePayment", order))
    )

    assert events == ["PaymentRefunded", "PaymentDeclined"]


async def test_fields_that_are_not_read_are_ignored(counter: Counter) -> None:
    with_more = command("ChargePayment", uuid7(), CHARGE | {"addedLater": {"x": 1}})

    assert await counter.events(delivered(with_more)) == ["PaymentCaptured"]


def _without(record: Record, header: str) -> Record:
    return replace(record, headers={name: value for name, value in record.headers.items() if name != header})


def _charging(**amount: Any) -> Callable[[Record], Record]:
    return lambda _: delivered(command("ChargePayment", uuid7(), {"amount": CHARGE["amount"] | amount}))


BAD: dict[str, tuple[Callable[[Record], Record], str]] = {
    "garbage": (lambda record: replace(record, value=b"\x00\xff garbage"), "Invalid JSON"),
    "nothing": (lambda record: replace(record, value=b""), "Invalid JSON"),
    "a list": (lambda record: replace(record, value=b"[]"), "its value"),
    "no type": (lambda record: _without(record, "ce_type"), "it has no header ce_type"),
    "no id": (lambda record: _without(record, "ce_id"), "it has no header ce_id"),
    "another id": (lambda record: replace(record, headers={**record.headers, "ce_id": "7"}), "ce_id must be a UUID"),
    "another key": (lambda record: replace(record, key=str(uuid7())), "name another order or event"),
    "an unknown type": (lambda _: delivered(command("DoublePayment", uuid7())), "nobody here knows the type"),
    "a newer version": (lambda _: delivered(command("RefundPayment", uuid7(), version=2)), "version 2"),
    "no amount": (lambda _: delivered(command("ChargePayment", uuid7(), {})), "amount: Field required"),
    "an amount that is a number": (_charging(amount=29.9), "amount.amount"),
    "a negative amount": (_charging(amount="-1.00"), "amount.amount"),
    "an amount with an exponent": (_charging(amount="1e999999999"), "amount.amount"),
    "an amount that is not finite": (_charging(amount="Infinity"), "amount.amount"),
    "an amount finer than its currency": (_charging(amount="1.005"), "more digits than EUR has"),
    "an amount that nobody has": (_charging(amount="9999999999999999999"), "at most 18 digits"),
    "an unknown kind of currency": (_charging(currency="euro"), "three capital letters"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_is_no_command_is_a_dead_letter_with_its_reason_and_the_next_record_is_handled(
    counter: Counter, case: str
) -> None:
    spoil, reason = BAD[case]
    bad, order = spoil(delivered(command("ChargePayment", uuid7()))), uuid7()

    events = await counter.events(bad, delivered(command("ChargePayment", order)))

    assert events == ["PaymentCaptured"]
    (dead,) = counter.failures.dead
    assert dead.record == bad
    assert reason in dead.error


async def test_another_amount_for_the_same_order_is_a_dead_letter_and_the_first_one_stays(counter: Counter) -> None:
    order = uuid7()
    other = command("ChargePayment", order, {"amount": {"amount": "30.00", "currency": "EUR"}})

    events = await counter.events(delivered(command("ChargePayment", order)), delivered(other))

    assert events == ["PaymentCaptured"]
    assert "29.90 EUR before, not 30.00 EUR" in counter.failures.dead[0].error
    assert len(await counter.store.claims()) == 1
