"""Bad days with a real database and a real gateway: whatever breaks, the books agree in the end, and each order was
charged once or not at all."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from payment_service.application.cashier import Cashier
from payment_service.application.ports import Clock
from payment_service.application.steps import Steps
from payment_service.application.take_commands import TakeCommands
from payment_service.domain.payment import Payment, PaymentStatus
from payment_service.infrastructure.http_gateway import open_http_gateway
from payment_service.infrastructure.postgres import PostgresPayments
from tests.payment_service.conftest import postgres_payments
from tests.payment_service.far_gateway import until
from tests.payment_service.payments import AMOUNT, LEASE, claim
from tests.real_parts.payment_gateway import RealGateway
from tests.real_parts.waiting import DEADLINE

_LATER = "update payments set next_attempt_at = next_attempt_at - interval '2 minutes'"
PAID = Decimal(AMOUNT.amount)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of the service, between its commands and a real gateway."""

    payments: PostgresPayments
    cashier: Cashier
    take: TakeCommands

    def kill(self) -> None:
        """Whatever is under way gets no further."""
        for task in self.cashier._at_hand:
            task.cancel()

    async def idle(self) -> None:
        """Wait until no call is at hand."""
        await until(lambda: not self.cashier._at_hand, "no call is at hand")

    async def payment(self, order_id: UUID) -> Payment:
        payment = await self.payments.find(order_id)
        assert payment is not None
        return payment

    async def later(self) -> None:
        """Let two minutes pass, for the database: what others were left to is due."""
        await self.payments._pools.engine.execute(_LATER)

    async def settle(self, order_id: UUID, status: PaymentStatus) -> Payment:
        """Sweep, each time long after, until the payment has come to this."""
        async with asyncio.timeout(DEADLINE):
            while (payment := await self.payment(order_id)).status is not status:
                await self.later()
                await self.cashier.sweep()
                await self.idle()
        return payment


@asynccontextmanager
async def instance(dsn: str, gateway: RealGateway, clock: Clock) -> AsyncIterator[Instance]:
    """An instance that sweeps when the test says so."""
    async with (
        postgres_payments(dsn) as payments,
        open_http_gateway(gateway.url, seconds=10.0) as adapter,
    ):
        steps = Steps(payments, clock, uuid7)
        cashier = Cashier(steps, adapter, at_once=64, lease=LEASE)
        yield Instance(payments, cashier, TakeCommands(steps, cashier))
        await cashier.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the clocks of instances say, each time something else. Stopping is not waited for."""
    monkeypatch.setattr("payment_service.application.cashier._FINISH_WITHIN", 0.05)
    wrong_by = itertools.cycle([5, -5, 3600, -3600, 0])
    return lambda: datetime.now(UTC) + timedelta(seconds=next(wrong_by))


async def test_while_the_gateway_is_away_payments_wait_and_when_it_is_back_they_settle(
    payments_database: str, gateway: RealGateway, clock: Clock
) -> None:
    orders = [uuid7() for _ in range(20)]
    async with instance(payments_database, gateway, clock) as service:
        gateway.stop()
        for order in orders:
            await service.take.charge(order, AMOUNT, None, claim())
        await service.idle()
        for _ in range(3):
            await service.later()
            await service.cashier.sweep()
            await service.idle()
        assert {(await service.payment(order)).status for order in orders} == {PaymentStatus.CHARGING}

        gateway.start()
        for order in orders:
            await service.settle(order, PaymentStatus.CAPTURED)

    assert gateway.ledger.balance() == dict.fromkeys(orders, PAID)


async def test_a_charge_whose_answers_are_all_lost_is_one_charge(
    payments_database: str, gateway: RealGateway, clock: Clock
) -> None:
    order = uuid7()
    async with instance(payments_database, gateway, clock) as service:
        gateway.drop_answers(5)
        await service.take.charge(order, AMOUNT, None, claim())
        await service.idle()
        assert (await service.payment(order)).status is PaymentStatus.CHARGING
        assert gateway.ledger.balance() == {order: PAID}, "the gateway did it, and we do not know"

        payment = await service.settle(order, PaymentStatus.CAPTURED)

    assert payment.reference == "ch_1"
    assert len(gateway.ledger.charges) == 1
    assert set(gateway.ledger.calls) == {f"{order}:charge"}


async def test_an_instance_that_dies_during_the_call_leaves_it_to_another_with_the_same_key(
    payments_database: str, gateway: RealGateway, clock: Clock
) -> None:
    order = uuid7()
    with gateway.slow():
        async with instance(payments_database, gateway, clock) as dying:
            await dying.take.charge(order, AMOUNT, None, claim())
            await gateway.until(lambda ledger: len(ledger.calls) == 1, "the call")
            dying.kill()
    await gateway.until(lambda ledger: len(ledger.charges) == 1, "the charge that nobody hears of")
    async with instance(payments_database, gateway, clock) as service:
        await service.cashier.sweep()
        await service.idle()
        assert gateway.ledger.calls == [f"{order}:charge"], "for a while it is left to whoever began it"

        await service.settle(order, PaymentStatus.CAPTURED)

    assert gateway.ledger.calls == [f"{order}:charge"] * 2
    assert gateway.ledger.balance() == {order: PAID}
    assert len(gateway.ledger.charges) == 1


async def test_an_instance_that_dies_before_the_call_leaves_it_to_another(
    payments_database: str, gateway: RealGateway, clock: Clock
) -> None:
    order = uuid7()
    async with instance(payments_database, gateway, clock) as dying:
        await dying.take.charge(order, AMOUNT, None, claim())
        dying.kill()
    assert gateway.ledger.calls == []

    async with instance(payments_database, gateway, clock) as service:
        await service.settle(order, PaymentStatus.CAPTURED)

    assert gateway.ledger.balance() == {order: PAID}


async def test_an_instance_that_dies_during_the_refund_gives_the_money_back_once(
    payments_database: str, gateway: RealGateway, clock: Clock
) -> None:
    order = uuid7()
    async with instance(payments_database, gateway, clock) as dying:
        await dying.take.charge(order, AMOUNT, None, claim())
        await dying.settle(order, PaymentStatus.CAPTURED)
        with gateway.slow():
            await dying.take.refund(order, claim())
            await gateway.until(lambda ledger: f"{order}:refund" in ledger.calls, "the refund")
            dying.kill()
    async with instance(payments_database, gateway, clock) as service:
        payment = await service.settle(order, PaymentStatus.REFUNDED)

    assert payment.amount == AMOUNT
    assert gateway.ledger.balance() == {}
    assert len(gateway.ledger.refunds) == 1


async def test_a_refund_that_races_with_a_slow_charge_leaves_nothing_charged(
    payments_database: str, gateway: RealGateway, clock: Clock
) -> None:
    orders = [uuid7() for _ in range(20)]
    async with instance(payments_database, gateway, clock) as service:
        with gateway.slow():
            for order in orders:
                await service.take.charge(order, AMOUNT, None, claim())
            await gateway.until(lambda ledger: len(ledger.calls) == 20, "the calls")
            await asyncio.gather(*(service.take.refund(order, claim()) for order in orders))
            assert {(await service.payment(order)).status for order in orders} == {PaymentStatus.VOIDING}
        await service.idle()
        for order in orders:
            await service.settle(order, PaymentStatus.REFUNDED)

    assert (len(gateway.ledger.charges), len(gateway.ledger.refunds)) == (20, 20)
    assert gateway.ledger.balance() == {}


async def test_a_charge_that_reaches_the_gateway_after_its_refund_moves_no_money(
    payments_database: str, gateway: RealGateway, clock: Clock
) -> None:
    order = uuid7()
    async with instance(payments_database, gateway, clock) as service:
        gateway.drop_answers(3)
        await service.take.charge(order, AMOUNT, None, claim())
        await service.idle()
        await service.take.refund(order, claim())

        await service.settle(order, PaymentStatus.REFUNDED)
        gateway.ledger.handle("/charges", f"{order}:charge", {})

    assert gateway.ledger.balance() == {}


async def test_two_instances_share_what_is_due_and_charge_each_order_once(
    payments_database: str, gateway: RealGateway, clock: Clock
) -> None:
    orders = [uuid7() for _ in range(50)]
    async with (
        instance(payments_database, gateway, clock) as one,
        instance(payments_database, gateway, clock) as other,
    ):
        for order in orders:
            await one.take.charge(order, AMOUNT, None, claim())
        one.kill()
        await one.idle()
        await one.later()
        calls = len(gateway.ledger.calls)

        await asyncio.gather(one.cashier.sweep(), other.cashier.sweep())
        await one.idle()
        await other.idle()

        assert {(await one.payment(order)).status for order in orders} == {PaymentStatus.CAPTURED}
    swept = gateway.ledger.calls[calls:]
    assert len(swept) == len(set(swept)), "a payment was swept by two"
    assert gateway.ledger.balance() == dict.fromkeys(orders, PAID)
