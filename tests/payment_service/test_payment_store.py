"""What every payment store promises: a step, its claim and its event are stored together, or none of them."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from uuid_utils.compat import uuid7

from messaging.ports.changes import Write, Written
from payment_service.domain.payment import Call, Payment, PaymentStatus, Step
from shared_kernel.money import Money
from tests.payment_service.conftest import StoreUnderTest
from tests.payment_service.payments import (
    LEASE,
    NEIGHBOUR,
    SUCCESSOR,
    claim,
    intent,
    moment,
    stored,
    taking,
    taking_back,
)
from tests.real_parts.waiting import DEADLINE


def _charged(payment: Payment) -> Step:
    step = payment.charged("ch_1", moment())
    assert step is not None
    return step


def _taken_back(payment: Payment) -> Step:
    step = payment.refund(moment())
    assert step is not None
    return step


async def test_a_step_its_claim_and_its_event_are_stored_together(store: StoreUnderTest) -> None:
    first = Payment.tombstone(uuid7(), moment())
    taken = claim()

    assert await store.take(first, taken)

    assert await store.another.find(first.payment.order_id) == stored(first.payment)
    assert await store.claims() == {taken.event_id}
    assert await store.messages() == [(str(first.payment.order_id), "PaymentRefunded")]


async def test_every_state_is_read_as_it_was_stored(store: StoreUnderTest) -> None:
    path = [intent(amount=Money.of("12.345", "KWD"))]
    path.append(_charged(path[-1].payment))
    path.append(_taken_back(path[-1].payment))
    path.append(path[-1].payment.refunded(moment()) or path[-1])
    declined = intent()
    for step in path:
        assert await store.take(step)
        assert await store.payments.find(step.payment.order_id) == stored(step.payment)
    assert path[-1].payment.status is PaymentStatus.REFUNDED
    await store.take(declined)
    refused = declined.payment.declined("Guthaben fehlt: 5 € zu wenig", moment())
    assert refused is not None
    await store.take(refused)

    assert await store.payments.find(declined.payment.order_id) == stored(refused.payment)


async def test_what_nobody_asked_for_is_not_there(store: StoreUnderTest) -> None:
    assert await store.payments.find(uuid7()) is None


async def test_a_step_is_decided_on_the_payment_as_it_is_by_then(store: StoreUnderTest) -> None:
    first = intent()
    await store.take(first)
    captured = _charged(first.payment)
    await store.take(captured)
    seen: list[Payment | None] = []

    written = await store.payments.write(Write(first.payment.order_id, seen.append, claim()))

    assert seen == [stored(captured.payment)]
    assert written == Written(stored(captured.payment), None), "nothing was decided"
    assert await store.claims() == set()
    assert [kind for _, kind in await store.messages()] == ["PaymentCaptured"]


async def test_a_decision_that_fails_gives_its_claim_back_and_hurts_no_neighbour(store: StoreUnderTest) -> None:
    def fail(_: Payment | None) -> None:
        raise ZeroDivisionError

    taken = [claim() for _ in range(9)]

    outcomes = await asyncio.gather(
        store.write(Write(uuid7(), fail, claim())),
        *(store.write(taking_back(uuid7(), each)) for each in taken),
        return_exceptions=True,
    )

    assert isinstance(outcomes.pop(0), ZeroDivisionError)
    assert outcomes == [True] * 9
    assert await store.claims() == {each.event_id for each in taken}


async def test_a_claim_that_was_taken_makes_any_later_step_a_repetition(store: StoreUnderTest) -> None:
    first, taken = intent(), claim()
    await store.take(first, taken)

    assert not await store.write(taking_back(first.payment.order_id, taken))

    assert await store.payments.find(first.payment.order_id) == stored(first.payment)
    assert await store.messages() == []


async def test_an_event_id_that_two_orders_use_has_its_effect_on_one_and_hurts_no_neighbour(
    store: StoreUnderTest,
) -> None:
    taken, steps = claim(), [Payment.tombstone(uuid7(), moment()) for _ in range(10)]
    await store.take(intent(), taken)

    async with asyncio.timeout(DEADLINE):
        outcomes = await asyncio.gather(
            *(store.take(step, taken if place in (3, 8) else claim()) for place, step in enumerate(steps))
        )

    assert [place for place, has_effect in enumerate(outcomes) if not has_effect] == [3, 8]
    assert await store.payments.find(steps[3].payment.order_id) is None
    assert len(await store.messages()) == 8


async def test_the_same_event_twice_at_the_same_time_has_one_effect(store: StoreUnderTest) -> None:
    taken, orders = claim(), [uuid7() for _ in range(20)]
    claims = {order: claim() for order in orders}
    claims[orders[7]] = taken
    steps = [Payment.tombstone(order, moment()) for order in orders]

    async with asyncio.timeout(DEADLINE):
        outcomes = await asyncio.gather(
            *(store.take(step, claims[step.payment.order_id]) for step in steps for _ in range(2))
        )

    assert outcomes == [True, False] * 20
    assert len(await store.messages()) == 20


async def test_two_steps_of_one_payment_at_the_same_time_are_decided_one_after_the_other(store: StoreUnderTest) -> None:
    first = intent(lease=None)
    await store.take(first)
    here, there = claim(), claim()

    effects = await asyncio.gather(*(store.write(taking_back(first.payment.order_id, each)) for each in (here, there)))

    assert effects == [True, True]
    found = await store.payments.find(first.payment.order_id)
    assert found is not None
    assert (found.status, found.version) == (PaymentStatus.REFUNDED, 3)
    assert await store.claims() == {here.event_id, there.event_id}
    assert [kind for _, kind in await store.messages()] == ["PaymentRefunded"] * 2


async def test_a_payment_that_is_begun_and_taken_back_at_once_is_stored_as_it_is_then(store: StoreUnderTest) -> None:
    """Also its call, which was begun and may have moved money."""
    step = intent(lease=replace(LEASE, length=timedelta(0)))
    order_id = step.payment.order_id

    writes = [taking(step, claim()), taking_back(order_id, claim())]
    assert await asyncio.gather(*map(store.write, writes)) == [True, True]

    found = await store.payments.find(order_id)
    assert found is not None
    assert (found.status, found.version) == (PaymentStatus.VOIDING, 2)
    assert [payment.order_id for payment in await store.payments.claim_due(10, LEASE)] == [order_id]


async def test_only_calls_that_are_due_are_claimed_the_longest_due_first(store: StoreUnderTest) -> None:
    order = [uuid7() for _ in range(4)]
    for due_for, order_id in zip((30, 20, 10, -60), order, strict=True):
        step = Payment.intent(order_id, Money.of("1.00", "EUR"), moment(lease=None))
        await store.take(replace(step, payment=replace(step.payment, call_after=timedelta(seconds=-due_for))))
    settled = Payment.tombstone(uuid7(), moment())
    await store.take(settled)

    due = await store.payments.claim_due(2, LEASE)

    assert {payment.order_id for payment in due} == set(order[:2])
    rest = await store.payments.claim_due(10, LEASE)
    assert {payment.order_id for payment in rest} == {order[2]}


async def test_a_claimed_payment_is_due_again_when_its_time_is_over_and_never_before(store: StoreUnderTest) -> None:
    step = intent(lease=None)
    await store.take(step)
    over = replace(LEASE, length=timedelta(0))

    (claimed,) = await store.payments.claim_due(10, over)

    assert claimed == stored(step.payment.claimed(claimed.updated_at, over))
    assert await store.payments.find(claimed.order_id) == claimed
    assert [again.attempts for again in await store.another.claim_due(10, LEASE)] == [2]
    assert await store.another.claim_due(10, LEASE) == []


async def test_a_step_that_does_not_concern_the_call_leaves_it_when_it_was_due(store: StoreUnderTest) -> None:
    calling = intent()
    await store.take(calling)
    voiding = calling.payment.refund(moment())
    assert voiding is not None

    await store.take(replace(voiding, payment=stored(voiding.payment)))
    assert await store.payments.claim_due(10, LEASE) == [], "it is left to whoever began it"

    due_now = intent(lease=None)
    await store.take(due_now)
    assert [payment.order_id for payment in await store.payments.claim_due(10, LEASE)] == [due_now.payment.order_id]


async def test_whoever_follows_a_dead_process_at_its_place_claims_its_calls_before_their_lease_is_over(
    store: StoreUnderTest,
) -> None:
    begun, swept, refunding = intent(), intent(lease=None), intent()
    for step in (
        begun,
        swept,
        refunding,
        _charged(refunding.payment),
        _taken_back(_charged(refunding.payment).payment),
    ):
        await store.take(step)
    await store.payments.claim_due(10, LEASE)
    await store.write(taking_back(begun.payment.order_id))

    claimed = await store.another.claim_inherited(10, SUCCESSOR)

    assert {payment.order_id: payment.attempts for payment in claimed} == {
        begun.payment.order_id: 2,
        swept.payment.order_id: 2,
        refunding.payment.order_id: 2,
    }
    assert await store.payments.find(claimed[0].order_id) == claimed[0]
    assert await store.another.claim_inherited(10, SUCCESSOR) == [], "these calls are its own now"
    assert await store.another.claim_due(10, NEIGHBOUR) == [], "they are leased again"


async def test_nobody_else_claims_a_leased_call_and_nobody_inherits_what_is_not_leased(store: StoreUnderTest) -> None:
    leased, elsewhere, paused, settled = intent(), intent(lease=NEIGHBOUR), intent(), intent()
    unanswered = paused.payment.unanswered(Call.CHARGE, moment(), timedelta(minutes=5))
    assert unanswered is not None
    for step in (leased, elsewhere, paused, unanswered, settled, _charged(settled.payment)):
        await store.take(step)

    assert await store.payments.claim_inherited(10, LEASE) == [], "whoever holds it does not inherit it"
    assert await store.another.claim_inherited(10, NEIGHBOUR) == [], "of another place nobody knows that it is dead"
    claimed = await store.another.claim_inherited(10, SUCCESSOR)
    assert [payment.order_id for payment in claimed] == [leased.payment.order_id]


async def test_no_more_calls_are_inherited_than_asked_for_the_longest_due_first(store: StoreUnderTest) -> None:
    steps = [intent(lease=replace(LEASE, length=timedelta(seconds=left))) for left in (30, 10, 20)]
    for step in steps:
        await store.take(step)

    claimed = await store.payments.claim_inherited(2, SUCCESSOR)

    assert {payment.order_id for payment in claimed} == {steps[1].payment.order_id, steps[2].payment.order_id}


async def test_no_payment_is_claimed_by_two(store: StoreUnderTest) -> None:
    steps = [intent(lease=None) for _ in range(60)]
    await asyncio.gather(*(store.take(step) for step in steps))

    async with asyncio.timeout(DEADLINE):
        hauls = await asyncio.gather(
            *(sweeper.claim_due(20, LEASE) for _ in range(4) for sweeper in (store.payments, store.another))
        )

    claimed = [payment.order_id for haul in hauls for payment in haul]
    assert len(claimed) == len(set(claimed)), "a payment was claimed by two"
    assert set(claimed) == {step.payment.order_id for step in steps}


async def test_a_payment_whose_call_was_claimed_may_have_been_charged_when_it_is_taken_back(
    store: StoreUnderTest,
) -> None:
    waiting = intent(lease=None)
    await store.take(waiting)
    await store.another.claim_due(1, LEASE)

    await store.write(taking_back(waiting.payment.order_id))

    found = await store.payments.find(waiting.payment.order_id)
    assert found is not None
    assert found.status is PaymentStatus.VOIDING
