"""However messages, deadlines and requests meet: what an order says and what its partners hold agree in the end."""

from collections import deque
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from docs.generate_fulfilment import state_of
from order_service.domain.order_status import ON_THE_WAY, OrderStatus
from tests.domain.fulfilment_world import (
    DELIVERIES,
    LOSSES,
    REPETITIONS,
    Act,
    Delivery,
    Payment,
    Step,
    Stock,
    Topic,
    World,
)

FULFILLED = {OrderStatus.CONFIRMED, OrderStatus.COMPLETED}
TAKEN_BACK = {OrderStatus.REJECTED, OrderStatus.CANCELLED}
# What does not happen while somebody is silent. While nobody is, every answer comes in time.
NOBODY: frozenset[Step] = frozenset({Act.DEADLINE_PASSES})
OF_INVENTORY: frozenset[Step] = frozenset({Delivery(Topic.STOCK_COMMANDS)})
OF_PAYMENT: frozenset[Step] = frozenset({Delivery(Topic.PAYMENT_COMMANDS), Act.GATEWAY_ANSWERS})
WITHOUT_LOSSES: Sequence[Step] = (*DELIVERIES * 5, *[Act.GATEWAY_ANSWERS] * 3, *REPETITIONS, *Act)

STOCK_COMMAND, STOCK_EVENT, PAYMENT_COMMAND, PAYMENT_EVENT = DELIVERIES
STOCK_LOST, _, PAYMENT_LOST, _ = LOSSES
STOCK_AGAIN, _, PAYMENT_AGAIN, _ = REPETITIONS

# The deadline comes before the answer; and the answer comes.
LATE_ANSWER = [STOCK_COMMAND, STOCK_EVENT, Act.DEADLINE_PASSES, PAYMENT_COMMAND, Act.GATEWAY_ANSWERS, PAYMENT_EVENT]

# A question is lost, its compensation is answered, and then the question comes after all.
LATE_RESERVE = [STOCK_LOST, Act.CANCEL, STOCK_COMMAND, STOCK_EVENT, STOCK_AGAIN, STOCK_COMMAND]
LATE_CHARGE = [
    *(STOCK_COMMAND, STOCK_EVENT, PAYMENT_LOST, Act.CANCEL, STOCK_COMMAND, PAYMENT_COMMAND, STOCK_EVENT, PAYMENT_EVENT),
    *(PAYMENT_AGAIN, PAYMENT_COMMAND, Act.GATEWAY_ANSWERS),
]

worlds = st.builds(World.with_an_order, sold_out=st.sampled_from([False, False, True]), declines=st.booleans())
silences = st.sampled_from([NOBODY, OF_INVENTORY, OF_PAYMENT])


def _schedules(steps: Sequence[Step]) -> st.SearchStrategy[list[Step]]:
    return st.lists(st.sampled_from(steps), max_size=40)


def _assert_nothing_is_wrong(world: World) -> None:
    """What must hold at every moment, whatever is still on its way."""
    status = world.order.status
    assert world.charged <= 1, "it was charged twice"
    assert world.refunded <= world.charged, "more was refunded than charged"
    if status in FULFILLED:
        assert world.stock_is_held, f"{status} with stock {world.stock}"
        assert world.is_paid, f"{status} with payment {world.payment}"
    if status in TAKEN_BACK:
        assert not world.stock_is_held, f"{status} with stock {world.stock}"
        assert world.payment in (Payment.NOTHING, Payment.DECLINED, Payment.REFUNDED), f"{status}: {world.payment}"
        assert world.charged == world.refunded, f"{status} and charged {world.charged}, refunded {world.refunded}"
    assert (world.stock is Stock.SHIPPED) <= (status is OrderStatus.COMPLETED), f"shipped while {status}"


def _after(world: World, steps: Iterable[Step]) -> World:
    """The world after those of the steps that can happen when their turn comes."""
    for step in steps:
        world = world.after(step) or world
        _assert_nothing_is_wrong(world)
    return world


def _at_rest(world: World, silent: frozenset[Step]) -> World:
    """The world when nothing more happens by itself. A deadline passes when nothing else happens."""
    everything: Sequence[Step] = (*DELIVERIES, Act.GATEWAY_ANSWERS, Act.DEADLINE_PASSES)
    by_itself = [step for step in everything if step not in silent]
    for _ in range(1000):
        happened = next((after for step in by_itself if (after := world.after(step))), None)
        if happened is None:
            return world
        world = happened
        _assert_nothing_is_wrong(world)
    raise AssertionError(f"it never comes to rest: {world}")


def _assert_settled(world: World) -> None:
    assert world.order.status in FULFILLED | TAKEN_BACK, f"not settled: {world.order}"
    fulfilled = world.order.status in FULFILLED
    assert (world.stock_is_held, world.is_paid) == (fulfilled, fulfilled), f"{world.order.status}: {world}"
    assert world.charged - world.refunded == fulfilled


@settings(max_examples=300, deadline=None)
@given(worlds, _schedules(WITHOUT_LOSSES), silences)
@example(World.with_an_order(sold_out=False, declines=False), [], NOBODY)
@example(World.with_an_order(sold_out=False, declines=False), LATE_ANSWER, NOBODY)
def test_an_order_settles_and_agrees_with_its_partners_however_things_meet(
    world: World, schedule: list[Step], silent: frozenset[Step]
) -> None:
    world = _after(world, schedule)

    without_them = _at_rest(world, silent)
    assert without_them.order.status not in ON_THE_WAY, "a partner that is silent must not keep an order waiting"

    with_them_again = _at_rest(without_them, NOBODY)
    _assert_settled(with_them_again)


@settings(max_examples=200, deadline=None)
@given(worlds, _schedules([*WITHOUT_LOSSES, *LOSSES]))
@example(World.with_an_order(sold_out=False, declines=False), LATE_RESERVE)
@example(World.with_an_order(sold_out=False, declines=False), LATE_CHARGE)
def test_an_order_whose_messages_are_lost_settles_or_is_stuck_until_it_is_tried_again(
    world: World, schedule: list[Step]
) -> None:
    """A message in the dead letters is not there for the other side. It may never be replayed."""
    world = _at_rest(_after(world, schedule), frozenset())
    assert world.order.status not in ON_THE_WAY

    if world.order.status is OrderStatus.STUCK:
        world = _at_rest(_after(world, [Act.RETRY]), NOBODY)
    _assert_settled(world)


def _fingerprint(world: World) -> object:
    """Worlds with the same fingerprint have the same future."""
    queues = tuple(tuple(type(message).__name__ for message in world.waiting(topic)) for topic in Topic)
    standing = (state_of(world.order), world.order.attempts, world.stock, world.payment)
    return standing, world.charged, world.refunded, queues


@pytest.mark.parametrize(
    ("sold_out", "declines", "ends"),
    [
        (False, False, {OrderStatus.CONFIRMED, OrderStatus.COMPLETED, OrderStatus.CANCELLED}),
        (False, True, {OrderStatus.REJECTED, OrderStatus.CANCELLED}),
        (True, False, {OrderStatus.REJECTED, OrderStatus.CANCELLED}),
    ],
    ids=["all goes well", "the payment is declined", "the stock is sold out"],
)
def test_every_single_interleaving_with_up_to_three_deadlines_settles(
    sold_out: bool, declines: bool, ends: set[OrderStatus]
) -> None:
    """Not drawn, but all of them: cancel, complete and the first deadlines at every moment of every delivery."""
    first = World.with_an_order(sold_out=sold_out, declines=declines)
    seen, queue, ended = {_fingerprint(first)}, deque([first]), set()
    while queue:
        world = queue.popleft()
        at_rest = _at_rest(world, NOBODY)
        _assert_settled(at_rest)
        ended.add(at_rest.order.status)
        for step in (*DELIVERIES, *Act):
            after = world.after(step)
            if after is None or after.order.attempts > 2 or (fingerprint := _fingerprint(after)) in seen:
                continue
            _assert_nothing_is_wrong(after)
            seen.add(fingerprint)
            queue.append(after)

    assert ended == ends
    assert len(seen) > 30, "it tried hardly anything"
