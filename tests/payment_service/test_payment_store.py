"""What every payment store promises: a step, its claim and its event are stored together, or none of them."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from uuid_utils.compat import uuid7

from messaging.ports.changes import Committed, Conflict, Duplicate
from payment_service.domain import Payment, PaymentStatus, Step
from shared_kernel.money import Money
from tests.payment_service.conftest import DEADLINE, StoreUnderTest
from tests.payment_service.payments import LEASE, claim, intent, moment, stored


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

    assert await store.commit(first, 0, taken) == Committed()

    assert await store.another.find(first.payment.order_id) == stored(first.payment)
    assert await store.claims() == {taken.event_id}
    assert await store.messages() == [(str(first.payment.order_id), "PaymentRefunded")]


async def test_every_state_is_read_as_it_was_stored(store: StoreUnderTest) -> None:
    path = [intent(amount=Money.of("12.345", "KWD"))]
    path.append(_charged(path[-1].payment))
    path.append(_taken_back(path[-1].payment))
    path.append(path[-1].payment.refunded(moment()) or path[-1])
    declined = intent()
    for expected, step in enumerate(path):
        assert await store.commit(step, expected) == Committed()
        assert await store.payments.find(step.payment.order_id) == stored(step.payment)
    assert path[-1].payment.status is PaymentStatus.REFUNDED
    await store.commit(declined)
    refused = declined.payment.declined("Guthaben fehlt: 5 € zu wenig", moment())
    assert refused is not None
    await store.commit(refused, 1)

    assert await store.payments.find(declined.payment.order_id) == stored(refused.payment)


async def test_what_nobody_asked_for_is_not_there(store: StoreUnderTest) -> None:
    assert await store.payments.find(uuid7()) is None


async def test_a_step_on_a_version_that_is_no_longer_stored_is_a_conflict_and_leaves_nothing(
    store: StoreUnderTest,
) -> None:
    first = intent()
    await store.commit(first)
    captured = _charged(first.payment)
    await store.commit(captured, 1)
    taken = claim()

    assert await store.commit(_taken_back(first.payment), 1, taken) == Conflict()

    assert await store.payments.find(first.payment.order_id) == stored(captured.payment)
    assert await store.claims() == set()
    assert [kind for _, kind in await store.messages()] == ["PaymentCaptured"]


async def test_a_first_step_of_a_payment_that_is_there_is_a_conflict_and_its_claim_is_still_free(
    store: StoreUnderTest,
) -> None:
    first = intent()
    await store.commit(first)
    taken = claim()

    assert await store.commit(Payment.tombstone(first.payment.order_id, moment()), 0, taken) == Conflict()

    assert await store.payments.find(first.payment.order_id) == stored(first.payment)
    assert await store.claims() == set()
    assert await store.messages() == []


async def test_a_claim_that_was_taken_makes_any_later_step_a_duplicate(store: StoreUnderTest) -> None:
    first, taken = intent(), claim()
    await store.commit(first, 0, taken)
    order_id = first.payment.order_id

    assert await store.commit(_taken_back(first.payment), 1, taken) == Duplicate(order_id)
    assert await store.commit(Payment.tombstone(order_id, moment()), 0, taken) == Duplicate(order_id)

    assert await store.payments.find(order_id) == stored(first.payment)
    assert await store.messages() == []


async def test_an_event_id_that_two_orders_use_has_its_effect_on_one_and_hurts_no_neighbour(
    store: StoreUnderTest,
) -> None:
    taken, steps = claim(), [Payment.tombstone(uuid7(), moment()) for _ in range(10)]
    await store.commit(intent(), 0, taken)

    async with asyncio.timeout(DEADLINE):
        outcomes = await asyncio.gather(
            *(store.commit(step, 0, taken if place in (3, 8) else claim()) for place, step in enumerate(steps))
        )

    assert [place for place, outcome in enumerate(outcomes) if outcome != Committed()] == [3, 8]
    assert outcomes[3] == Duplicate(steps[3].payment.order_id)
    assert await store.payments.find(steps[3].payment.order_id) is None
    assert len(await store.messages()) == 8


async def test_the_same_event_twice_at_the_same_time_has_one_effect(store: StoreUnderTest) -> None:
    taken, orders = claim(), [uuid7() for _ in range(20)]
    claims = {order: claim() for order in orders}
    claims[orders[7]] = taken
    steps = [Payment.tombstone(order, moment()) for order in orders]

    async with asyncio.timeout(DEADLINE):
        outcomes = await asyncio.gather(
            *(store.commit(step, 0, claims[step.payment.order_id]) for step in steps for _ in range(2))
        )

    assert outcomes[0::2] == [Committed()] * 20
    assert outcomes[1::2] == [Duplicate(order) for order in orders]
    assert len(await store.messages()) == 20


async def test_two_steps_of_one_version_have_one_winner_and_the_loser_keeps_no_claim(store: StoreUnderTest) -> None:
    first = intent()
    await store.commit(first)
    winner, loser = claim(), claim()

    outcomes = await asyncio.gather(
        store.commit(_taken_back(first.payment), 1, winner), store.commit(_taken_back(first.payment), 1, loser)
    )

    assert list(outcomes) == [Committed(), Conflict()]
    assert await store.claims() == {winner.event_id}


async def test_only_calls_that_are_due_are_claimed_the_longest_due_first(store: StoreUnderTest) -> None:
    order = [uuid7() for _ in range(4)]
    for due_for, order_id in zip((30, 20, 10, -60), order, strict=True):
        step = Payment.intent(order_id, Money.of("1.00", "EUR"), moment(lease=None))
        await store.commit(replace(step, payment=replace(step.payment, call_after=timedelta(seconds=-due_for))))
    settled = Payment.tombstone(uuid7(), moment())
    await store.commit(settled)

    due = await store.payments.claim_due(2, LEASE)

    assert {payment.order_id for payment in due} == set(order[:2])
    rest = await store.payments.claim_due(10, LEASE)
    assert {payment.order_id for payment in rest} == {order[2]}


async def test_a_claimed_payment_is_due_again_when_its_time_is_over_and_never_before(store: StoreUnderTest) -> None:
    step = intent(lease=None)
    await store.commit(step)
    over = timedelta(0)

    (claimed,) = await store.payments.claim_due(10, over)

    assert claimed == stored(step.payment.claimed(claimed.updated_at, over))
    assert await store.payments.find(claimed.order_id) == claimed
    assert [again.attempts for again in await store.another.claim_due(10, LEASE)] == [2]
    assert await store.another.claim_due(10, LEASE) == []


async def test_a_step_that_does_not_concern_the_call_leaves_it_when_it_was_due(store: StoreUnderTest) -> None:
    calling = intent()
    await store.commit(calling)
    voiding = calling.payment.refund(moment())
    assert voiding is not None

    await store.commit(replace(voiding, payment=stored(voiding.payment)), 1)
    assert await store.payments.claim_due(10, LEASE) == [], "it is left to whoever began it"

    due_now = intent(lease=None)
    await store.commit(due_now)
    assert [payment.order_id for payment in await store.payments.claim_due(10, LEASE)] == [due_now.payment.order_id]


async def test_no_payment_is_claimed_by_two(store: StoreUnderTest) -> None:
    steps = [intent(lease=None) for _ in range(60)]
    await asyncio.gather(*(store.commit(step) for step in steps))

    async with asyncio.timeout(DEADLINE):
        hauls = await asyncio.gather(
            *(sweeper.claim_due(20, LEASE) for _ in range(4) for sweeper in (store.payments, store.another))
        )

    claimed = [payment.order_id for haul in hauls for payment in haul]
    assert len(claimed) == len(set(claimed)), "a payment was claimed by two"
    assert set(claimed) == {step.payment.order_id for step in steps}


async def test_a_step_that_was_decided_before_the_payment_was_claimed_is_a_conflict(store: StoreUnderTest) -> None:
    waiting = intent(lease=None)
    await store.commit(waiting)
    nothing_was_charged = _taken_back(waiting.payment)
    await store.another.claim_due(1, LEASE)

    assert await store.commit(nothing_was_charged, 1) == Conflict(), "by now the gateway may have been called"
