"""Intent, call, outcome: who calls the gateway, when, how many at once, and what is left to the sweep."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
import pytest_asyncio
from uuid_utils.compat import uuid7

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import StoreUnavailable, Written
from payment_service.application.cashier import Cashier
from payment_service.application.find_payment import FindPayment
from payment_service.application.ports import GatewayUnavailable, PaymentWrite
from payment_service.application.steps import Steps
from payment_service.application.take_commands import TakeCommands
from payment_service.domain.payment import Payment, PaymentStatus, Step
from payment_service.infrastructure.memory import MemoryPayments
from shared_kernel.caller import ANONYMOUS
from shared_kernel.money import Money
from tests.payment_service.far_gateway import FarGateway, until
from tests.payment_service.payments import AMOUNT, LEASE, SUCCESSOR, ManualClock, claim, intent, moment, stored, taking
from tests.real_parts.waiting import DEADLINE

AT_ONCE = 2
ROOM = AT_ONCE * 16


class FaultyPayments(MemoryPayments):
    """A store that can be told to be away for the next commits, or that somebody else is faster by a moment."""

    away_for = 0
    faster: PaymentWrite | None = None

    async def write(self, write: PaymentWrite) -> Written[Payment, Step]:
        """See PaymentStore."""
        if self.away_for:
            self.away_for -= 1
            raise StoreUnavailable("away")
        if self.faster:
            await super().write(self.faster)
            self.faster = None
        return await super().write(write)


@dataclass
class Desk:
    """One instance of the service, without its edges."""

    payments: FaultyPayments
    gateway: FarGateway
    clock: ManualClock
    cashier: Cashier
    take: TakeCommands

    def status(self, order_id: UUID) -> PaymentStatus | None:
        payment = self.payments._rows.rows.get(order_id)
        return payment.status if payment else None

    async def payment(self, order_id: UUID) -> Payment:
        return await FindPayment(self.payments)(order_id, ANONYMOUS)

    async def until_status(self, order_id: UUID, status: PaymentStatus) -> None:
        await until(lambda: self.status(order_id) is status, f"the payment is {status}, not {self.status(order_id)}")


@pytest_asyncio.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """An instance whose gateway holds every call until it is opened."""
    monkeypatch.setattr("payment_service.application.cashier._FINISH_WITHIN", 0.05)
    clock, gateway = ManualClock(), FarGateway()
    payments = FaultyPayments(MemoryOutbox(), clock.seconds)
    steps = Steps(payments, clock, uuid7)
    cashier = Cashier(steps, gateway, at_once=AT_ONCE, lease=LEASE, seconds=clock.seconds)
    yield Desk(payments, gateway, clock, cashier, TakeCommands(steps, cashier))
    await cashier.close()


async def test_a_command_is_taken_while_the_gateway_still_thinks(desk: Desk) -> None:
    order = uuid7()

    async with asyncio.timeout(DEADLINE):
        await desk.take.charge(order, AMOUNT, None, claim())

    await until(lambda: desk.gateway.calls == [f"{order}:charge"], "the gateway is called")
    assert desk.status(order) is PaymentStatus.CHARGING
    desk.gateway.open.set()
    await desk.until_status(order, PaymentStatus.CAPTURED)


async def test_a_command_that_comes_twice_is_one_call(desk: Desk) -> None:
    order, taken = uuid7(), claim()
    for event in (taken, taken, claim()):
        await desk.take.charge(order, AMOUNT, None, event)
    desk.gateway.open.set()
    await desk.until_status(order, PaymentStatus.CAPTURED)

    await desk.take.charge(order, AMOUNT, None, taken)

    assert desk.gateway.calls == [f"{order}:charge"]


async def test_a_command_that_another_instance_takes_at_the_same_moment_is_not_called_for_here(desk: Desk) -> None:
    taken, step = claim(), intent()
    desk.payments.faster = taking(step, taken)

    await desk.take.charge(step.payment.order_id, AMOUNT, None, taken)

    assert not desk.cashier._at_hand
    assert await desk.payment(step.payment.order_id) == stored(step.payment)


async def test_an_order_that_another_instance_takes_back_at_the_same_moment_is_not_charged(desk: Desk) -> None:
    tombstone = Payment.tombstone(uuid7(), moment())
    desk.payments.faster = taking(tombstone, claim())

    await desk.take.charge(tombstone.payment.order_id, AMOUNT, None, claim())

    assert not desk.cashier._at_hand
    assert desk.status(tombstone.payment.order_id) is PaymentStatus.REFUNDED


async def test_no_more_calls_are_under_way_at_once_than_allowed(desk: Desk) -> None:
    orders = [uuid7() for _ in range(10)]
    for order in orders:
        await desk.take.charge(order, AMOUNT, None, claim())
    await until(lambda: desk.gateway.under_way == AT_ONCE, "calls are under way")
    desk.gateway.open.set()
    for order in orders:
        await desk.until_status(order, PaymentStatus.CAPTURED)

    assert desk.gateway.most_under_way == AT_ONCE


async def test_what_there_is_no_room_for_is_left_to_the_sweep(desk: Desk) -> None:
    orders = [uuid7() for _ in range(ROOM + 3)]
    for order in orders:
        await desk.take.charge(order, AMOUNT, None, claim())
    left = [order for order in orders if (await desk.payment(order)).attempts == 0]
    assert left == orders[ROOM:]
    await desk.cashier.sweep()
    assert [(await desk.payment(order)).attempts for order in left] == [0, 0, 0], "there is still no room"

    desk.gateway.open.set()
    for order in orders[:ROOM]:
        await desk.until_status(order, PaymentStatus.CAPTURED)
    await desk.cashier.sweep()

    for order in left:
        await desk.until_status(order, PaymentStatus.CAPTURED)


async def test_room_is_given_back_by_commands_that_lead_to_no_call(desk: Desk) -> None:
    for _ in range(ROOM + 1):
        await desk.take.refund(uuid7(), claim())
    order = uuid7()

    await desk.take.charge(order, AMOUNT, None, claim())

    assert (await desk.payment(order)).attempts == 1


async def test_room_is_given_back_by_commands_that_fail(desk: Desk) -> None:
    desk.payments.away_for = ROOM + 1
    for _ in range(ROOM + 1):
        with pytest.raises(StoreUnavailable):
            await desk.take.charge(uuid7(), AMOUNT, None, claim())
    order = uuid7()

    await desk.take.charge(order, AMOUNT, None, claim())

    assert (await desk.payment(order)).attempts == 1


async def test_a_refund_without_room_for_its_call_is_left_to_the_sweep(desk: Desk) -> None:
    order = uuid7()
    desk.gateway.open.set()
    await desk.take.charge(order, AMOUNT, None, claim())
    await desk.until_status(order, PaymentStatus.CAPTURED)
    desk.gateway.open.clear()
    for _ in range(ROOM):
        await desk.take.charge(uuid7(), AMOUNT, None, claim())

    await desk.take.refund(order, claim())
    assert (await desk.payment(order)).attempts == 0
    desk.gateway.open.set()
    await until(lambda: not desk.cashier._at_hand, "there is room")
    await desk.cashier.sweep()

    await desk.until_status(order, PaymentStatus.REFUNDED)
    assert desk.gateway.calls.count(f"{order}:refund") == 1


async def test_the_calls_of_the_dead_process_are_made_by_the_next_one_also_when_a_commit_shows_up_late(
    desk: Desk,
) -> None:
    steps = Steps(desk.payments, desk.clock, uuid7)
    successor = Cashier(steps, desk.gateway, at_once=AT_ONCE, lease=SUCCESSOR, seconds=desk.clock.seconds)
    desk.gateway.open.set()
    for late in (intent(), intent()):
        await desk.payments.write(taking(late))
        await successor.sweep()
        await desk.until_status(late.payment.order_id, PaymentStatus.CAPTURED)
    await successor.close()


async def test_a_call_that_waited_for_longer_than_its_lease_is_not_made(desk: Desk) -> None:
    first = [uuid7() for _ in range(AT_ONCE)]
    for order in first:
        await desk.take.charge(order, AMOUNT, None, claim())
    late = uuid7()
    await desk.take.charge(late, AMOUNT, None, claim())
    await until(lambda: desk.gateway.under_way == AT_ONCE, "calls are under way")
    desk.clock.advance(seconds=16)
    desk.gateway.open.set()
    await until(lambda: not desk.cashier._at_hand, "nothing is at hand")
    assert f"{late}:charge" not in desk.gateway.calls, "by now it is whoever sweeps that makes it"

    await desk.cashier.sweep()

    await desk.until_status(late, PaymentStatus.CAPTURED)


async def test_a_call_without_an_answer_is_made_again_with_the_same_key_after_its_pause(desk: Desk) -> None:
    order = uuid7()
    desk.gateway.problems = [GatewayUnavailable("away"), GatewayUnavailable("away")]
    desk.gateway.open.set()
    await desk.take.charge(order, AMOUNT, None, claim())
    for pause in (1, 2):
        await until(lambda: not desk.cashier._at_hand, "nothing is at hand")
        calls = len(desk.gateway.calls)
        desk.clock.advance(seconds=pause - 0.001)
        await desk.cashier.sweep()
        assert len(desk.gateway.calls) == calls, "the pause is not over"
        desk.clock.advance(seconds=0.001)
        await desk.cashier.sweep()

    await desk.until_status(order, PaymentStatus.CAPTURED)
    assert desk.gateway.calls == [f"{order}:charge"] * 3


async def test_a_refund_without_an_answer_is_not_done_and_is_asked_for_again(desk: Desk) -> None:
    order = uuid7()
    desk.gateway.open.set()
    await desk.take.charge(order, AMOUNT, None, claim())
    await desk.until_status(order, PaymentStatus.CAPTURED)
    desk.gateway.problems = [GatewayUnavailable("away")]
    await desk.take.refund(order, claim())
    await until(lambda: not desk.cashier._at_hand, "nothing is at hand")
    assert desk.status(order) is PaymentStatus.REFUNDING

    desk.clock.advance(seconds=1)
    await desk.cashier.sweep()
    await desk.until_status(order, PaymentStatus.REFUNDED)
    assert desk.gateway.calls == [f"{order}:charge", f"{order}:refund", f"{order}:refund"]


async def test_a_gateway_that_wants_time_is_not_asked_before_that_is_over(desk: Desk) -> None:
    order = uuid7()
    desk.gateway.problems = [GatewayUnavailable("busy", timedelta(seconds=90))]
    desk.gateway.open.set()
    await desk.take.charge(order, AMOUNT, None, claim())
    await until(lambda: not desk.cashier._at_hand, "nothing is at hand")

    desk.clock.advance(seconds=89)
    await desk.cashier.sweep()
    assert desk.gateway.calls == [f"{order}:charge"]

    desk.clock.advance(seconds=1)
    await desk.cashier.sweep()
    await desk.until_status(order, PaymentStatus.CAPTURED)


async def test_a_call_that_fails_in_a_way_nobody_thought_of_is_made_again(desk: Desk) -> None:
    order = uuid7()
    desk.gateway.problems = [ZeroDivisionError("a mistake of ours")]
    desk.gateway.open.set()
    await desk.take.charge(order, AMOUNT, None, claim())
    await until(lambda: not desk.cashier._at_hand, "nothing is at hand")
    desk.clock.advance(seconds=15)

    await desk.cashier.sweep()

    await desk.until_status(order, PaymentStatus.CAPTURED)


async def test_a_call_that_others_cut_off_gives_its_room_back_and_is_made_again(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    order = uuid7()
    await desk.take.charge(order, AMOUNT, None, claim())
    await until(lambda: desk.gateway.under_way == 1, "the gateway is called")
    (call,) = desk.cashier._at_hand
    call.cancel()
    await until(lambda: not desk.cashier._at_hand, "nothing is at hand")
    assert desk.cashier._room == ROOM
    assert "a call was cut off, and will be made again" in caplog.messages
    desk.clock.advance(seconds=15)
    desk.gateway.open.set()

    await desk.cashier.sweep()

    await desk.until_status(order, PaymentStatus.CAPTURED)
    assert desk.gateway.calls == [f"{order}:charge"] * 2


async def test_an_answer_that_could_not_be_stored_is_asked_for_again_with_the_same_key(desk: Desk) -> None:
    order = uuid7()
    await desk.take.charge(order, AMOUNT, None, claim())
    desk.payments.away_for = 1
    desk.gateway.open.set()
    await until(lambda: not desk.cashier._at_hand, "nothing is at hand")
    assert desk.status(order) is PaymentStatus.CHARGING
    desk.clock.advance(seconds=15)

    await desk.cashier.sweep()

    await desk.until_status(order, PaymentStatus.CAPTURED)
    assert desk.gateway.calls == [f"{order}:charge"] * 2


async def test_a_refund_during_the_charge_waits_for_its_outcome_and_then_gives_the_money_back(desk: Desk) -> None:
    order = uuid7()
    await desk.take.charge(order, AMOUNT, None, claim())
    await until(lambda: desk.gateway.under_way == 1, "the gateway is called")

    await desk.take.refund(order, claim())
    assert desk.status(order) is PaymentStatus.VOIDING
    desk.gateway.open.set()

    await desk.until_status(order, PaymentStatus.REFUNDED)
    assert desk.gateway.calls == [f"{order}:charge", f"{order}:refund"]
    assert (await desk.payment(order)).amount == AMOUNT


async def test_a_refund_during_a_charge_that_is_declined_gives_nothing_back(desk: Desk) -> None:
    order = uuid7()
    await desk.take.charge(order, Money.of("2499.00", "EUR"), None, claim())
    await until(lambda: desk.gateway.under_way == 1, "the gateway is called")

    await desk.take.refund(order, claim())
    desk.gateway.open.set()

    await desk.until_status(order, PaymentStatus.REFUNDED)
    assert desk.gateway.calls == [f"{order}:charge"]
    assert (await desk.payment(order)).amount is None


async def test_on_stop_the_calls_at_hand_are_finished(desk: Desk) -> None:
    order = uuid7()
    await desk.take.charge(order, AMOUNT, None, claim())
    await until(lambda: desk.gateway.under_way == 1, "the gateway is called")
    desk.gateway.open.set()

    await desk.cashier.close()

    assert desk.status(order) is PaymentStatus.CAPTURED


async def test_on_stop_the_time_of_the_calls_at_hand_begins_when_the_process_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = uuid7()
    await desk.take.charge(order, AMOUNT, None, claim())
    await until(lambda: desk.gateway.under_way == 1, "the gateway is called")

    monkeypatch.setattr("payment_service.application.cashier._FINISH_WITHIN", 0.0)
    desk.cashier.finish_soon()
    monkeypatch.setattr("payment_service.application.cashier._FINISH_WITHIN", 10 * DEADLINE)
    async with asyncio.timeout(DEADLINE):
        await desk.cashier.close()

    assert desk.gateway.under_way == 0


async def test_on_stop_a_call_that_hangs_is_left_to_whoever_sweeps_and_nothing_new_is_begun(desk: Desk) -> None:
    order, later = uuid7(), uuid7()
    await desk.take.charge(order, AMOUNT, None, claim())
    await until(lambda: desk.gateway.under_way == 1, "the gateway is called")

    await desk.cashier.close()
    await desk.take.charge(later, AMOUNT, None, claim())
    desk.clock.advance(minutes=1)
    await desk.cashier.sweep()

    assert desk.gateway.under_way == 0
    assert (await desk.payment(order)).next_call is not None
    assert (await desk.payment(later)).attempts == 0
