"""Orders whose answer does not come: the sweep sees to all of them, and operators see those that it gave up."""

from datetime import timedelta

import pytest

from messaging.ports.changes import StoreUnavailable, Written
from order_service.application import sweep_deadlines
from order_service.application.ports import OrderWrite
from order_service.application.stuck_orders import StuckOrders
from order_service.application.sweep_deadlines import CATCH_UP_WITHIN, LONGEST_GRACE, SweepDeadlines
from order_service.domain.fulfilment import DeadlinePassed, Reaction
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import ON_THE_WAY, OrderStatus
from tests.application.use_cases import At, OrdersInMemory, fulfil_on
from tests.domain.orders import LATER, RESERVED, STEP_TIMEOUT, order_in, placed_order

NOBODY = timedelta(0)


class _Orders(OrdersInMemory):
    """A store whose clock a test sets, whose messages have waited for as long as it says, and that cannot store some
    of its orders."""

    def __init__(self) -> None:
        self.clock = At(LATER)
        self.waited = NOBODY
        self.poisoned: set[OrderId] = set()
        self.everything_is_read = True
        super().__init__(self.clock)

    async def unpublished_for(self) -> timedelta:
        """As the test says."""
        return self.waited

    async def write(self, write: OrderWrite) -> Written[Order, Reaction]:
        """Refuse the poisoned ones."""
        if OrderId(write.id) in self.poisoned:
            raise StoreUnavailable("not this one")
        return await super().write(write)

    def go_on(self, by: timedelta) -> None:
        """Let time pass."""
        self.clock.now += by

    def sweep(self) -> SweepDeadlines:
        """A sweep of a process that has just started. The clock of its machine is wrong."""
        fulfil = fulfil_on(self, lambda: LATER - timedelta(hours=1))
        seconds = lambda: (self.clock.now - LATER).total_seconds()  # noqa: E731
        return SweepDeadlines(self, fulfil, STEP_TIMEOUT, lambda: self.everything_is_read, seconds)


async def test_an_order_that_is_overdue_is_taken_back() -> None:
    orders = _Orders()
    order_id = await orders.put(placed_order())
    orders.go_on(STEP_TIMEOUT)

    assert await orders.sweep()() == 1

    assert (await orders.get(order_id)).status is OrderStatus.CANCELLING
    assert orders.messages() == ["OrderCreatedEvent", "ReleaseStock"]


async def test_orders_that_are_in_time_are_left_alone() -> None:
    orders = _Orders()
    for status in OrderStatus:
        await orders.put(order_in(status))
    orders.go_on(STEP_TIMEOUT - timedelta(microseconds=1))

    assert await orders.sweep()() == 0
    assert orders.messages() == []


async def test_an_answer_that_came_between_the_look_and_the_decision_counts() -> None:
    """The sweep saw the order overdue; when it is decided on, it waits for something else."""
    orders = _Orders()
    order_id = await orders.put(placed_order())
    orders.go_on(STEP_TIMEOUT)
    (seen,) = await orders.overdue(1)
    await fulfil_on(orders)(order_id, RESERVED)

    await fulfil_on(orders)(order_id, DeadlinePassed(seen.version))

    assert (await orders.get(order_id)).status is OrderStatus.PENDING


async def test_an_order_that_nobody_answers_ends_up_stuck_and_can_be_listed_and_tried_again() -> None:
    orders = _Orders()
    order_id = await orders.put(placed_order())
    sweep, stuck = orders.sweep(), StuckOrders(orders, fulfil_on(orders))

    for attempt in range(7):
        assert (await orders.get(order_id)).status in ON_THE_WAY
        orders.go_on(STEP_TIMEOUT * 2 ** max(attempt - 1, 0))
        assert await sweep() == 1
    assert [order.id for order in await stuck.newest(10)] == [order_id]
    assert await stuck.count() == 1
    assert orders.messages() == ["OrderCreatedEvent", *["ReleaseStock"] * 6]

    assert (await stuck.retry(order_id)).status is OrderStatus.CANCELLING
    assert await stuck.newest(10) == []
    assert await stuck.count() == 0
    assert orders.messages()[-1] == "ReleaseStock"
    assert len(orders.messages()) == 8


@pytest.mark.parametrize("status", [status for status in OrderStatus if status is not OrderStatus.STUCK])
async def test_an_order_that_is_not_stuck_is_not_tried_again(status: OrderStatus) -> None:
    orders = OrdersInMemory()
    order_id = await orders.put(order_in(status))
    before = await orders.get(order_id)

    assert await StuckOrders(orders, fulfil_on(orders)).retry(order_id) == before
    assert orders.messages() == []


async def test_more_orders_than_one_look_finds_are_seen_to_in_one_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_deadlines, "AT_ONCE", 3)
    orders = _Orders()
    for _ in range(10):
        await orders.put(placed_order())
    orders.go_on(STEP_TIMEOUT)

    assert await orders.sweep()() == 10
    assert orders.messages().count("ReleaseStock") == 10


async def test_orders_that_cannot_be_seen_to_hold_up_no_other_however_many_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They have waited longest, so every look finds them first."""
    monkeypatch.setattr(sweep_deadlines, "AT_ONCE", 3)
    orders = _Orders()
    orders.poisoned = {await orders.put(placed_order()) for _ in range(20)}
    orders.go_on(timedelta(seconds=1))
    others = [await orders.put(placed_order()) for _ in range(5)]
    orders.go_on(STEP_TIMEOUT)

    with pytest.raises(ExceptionGroup, match="20 of 25 overdue orders: not this one") as raised:
        await orders.sweep()()

    assert {(await orders.get(order_id)).status for order_id in others} == {OrderStatus.CANCELLING}
    assert {(await orders.get(order_id)).status for order_id in orders.poisoned} == {OrderStatus.PENDING}
    assert len(raised.value.exceptions) == 10, "not all of them are named"


async def test_an_order_whose_command_is_not_published_is_not_overdue_and_has_its_time_afterwards() -> None:
    orders, minute = _Orders(), timedelta(minutes=1)
    order_id = await orders.put(placed_order())
    sweep = orders.sweep()
    for waited in range(20):  # the broker is away
        orders.waited = waited * minute
        assert await sweep() == 0
        orders.go_on(minute)
    orders.waited = timedelta(0)
    last_seen_waiting = orders.clock.now - minute

    while (await orders.get(order_id)).status is OrderStatus.PENDING:
        assert orders.clock.now - last_seen_waiting <= minute + 2 * STEP_TIMEOUT, "the order is forgotten"
        await sweep()
        orders.go_on(timedelta(seconds=1))

    assert orders.clock.now - last_seen_waiting > STEP_TIMEOUT


async def test_an_order_placed_as_the_broker_comes_back_has_no_less_and_hardly_more_time_than_others() -> None:
    orders = _Orders()
    sweep = orders.sweep()
    orders.waited = timedelta(minutes=20)
    await sweep()
    orders.waited = timedelta(0)
    order_id = await orders.put(placed_order())

    orders.go_on(STEP_TIMEOUT)
    assert await sweep() == 0
    orders.go_on(STEP_TIMEOUT)
    assert await sweep() == 1
    assert (await orders.get(order_id)).status is OrderStatus.CANCELLING


async def test_an_outbox_that_is_never_emptied_does_not_keep_orders_for_ever() -> None:
    orders = _Orders()
    await orders.put(placed_order())
    orders.waited = timedelta(days=365)
    sweep = orders.sweep()

    assert await sweep() == 0
    orders.go_on(LONGEST_GRACE + STEP_TIMEOUT)
    assert await sweep() == 1


async def test_an_answer_that_waits_to_be_read_is_read_before_its_order_is_called_overdue() -> None:
    """The consumer was down for longer than a step may take."""
    orders = _Orders()
    order_id = await orders.put(placed_order())
    orders.go_on(10 * STEP_TIMEOUT)
    orders.everything_is_read, sweep = False, orders.sweep()

    assert await sweep() == 0
    await fulfil_on(orders)(order_id, RESERVED)
    orders.everything_is_read = True

    assert await sweep() == 0
    assert (await orders.get(order_id)).status is OrderStatus.PENDING


async def test_a_topic_that_cannot_be_read_does_not_keep_orders_for_ever() -> None:
    orders, sweep_every = _Orders(), timedelta(seconds=1)
    order_id = await orders.put(placed_order())
    orders.go_on(STEP_TIMEOUT)
    orders.everything_is_read, sweep = False, orders.sweep()
    began = orders.clock.now

    while (await orders.get(order_id)).status is OrderStatus.PENDING:
        await sweep()
        orders.go_on(sweep_every)

    assert orders.clock.now - began == timedelta(seconds=CATCH_UP_WITHIN) + sweep_every


async def test_a_topic_that_could_not_be_read_once_gives_the_next_delay_its_whole_time() -> None:
    orders = _Orders()
    await orders.put(placed_order())
    orders.go_on(STEP_TIMEOUT)
    orders.everything_is_read, sweep = False, orders.sweep()
    assert await sweep() == 0
    orders.everything_is_read = True
    assert await sweep() == 1

    orders.go_on(timedelta(seconds=CATCH_UP_WITHIN))
    orders.everything_is_read = False

    assert await sweep() == 0
