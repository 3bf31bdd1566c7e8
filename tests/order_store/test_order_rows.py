"""Whatever an order has been through, it comes back from the store as it went in; and who is overdue is found."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from docs.generate_fulfilment import HAPPENINGS
from messaging.ports.changes import Changes, Committed
from order_service.domain.fulfilment import (
    Cancel,
    DeadlinePassed,
    Happening,
    PaymentDeclined,
    Retry,
    StockRejected,
    StockReserved,
    react,
)
from order_service.domain.order import Order
from order_service.domain.order_status import IllegalTransition, OrderStatus
from shared_kernel.money import Money
from shared_kernel.product import MAX_QUANTITY, ProductId
from tests.domain.orders import (
    AT,
    LATER,
    RESERVED,
    STEP_TIMEOUT,
    led,
    line,
    moment,
    placed_order,
    stepped,
    stored,
    when,
)
from tests.order_store.conftest import StoreUnderTest

names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=64)
texts = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=200)
prices = st.integers(0, 10**9)
reasons = st.builds(StockRejected, texts) | st.builds(PaymentDeclined, texts)


@st.composite
def lives(draw: st.DrawFn) -> tuple[Order, Order]:
    """A placed order, and what became of it."""
    products = draw(st.lists(names, min_size=1, max_size=4))
    quantities = st.integers(1, MAX_QUANTITY)
    placed = placed_order(
        *(line(product, draw(quantities)) for product in products), customer_id=draw(st.none() | names)
    )
    currency = draw(st.sampled_from(["EUR", "JPY", "KWD"]))
    reserved = StockReserved({ProductId(product): Money(draw(prices), currency) for product in products})
    others = [happening for happening in HAPPENINGS if not isinstance(happening, StockReserved)]
    order = placed
    for happening in draw(st.lists(st.just(reserved) | reasons | st.sampled_from(others), max_size=12)):
        order = _led_if_possible(order, happening)
    return placed, order


def _led_if_possible(order: Order, happening: Happening) -> Order:
    try:
        return led(order, happening) if react(stored(order), happening, moment(when(order, happening))) else order
    except IllegalTransition:
        return order


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=lives())
async def test_an_order_comes_back_as_it_went_in(store: StoreUnderTest, life: tuple[Order, Order]) -> None:
    placed, order = life
    await store.created(placed)
    if order is not placed:
        assert await store.update(order, placed.version) == Committed()

    assert await store.orders.find(order.id) == stored(order)
    assert order.id in [listed.id for listed in await store.orders.newest(status=order.status, before=None, limit=1)]


async def _waiting(store: StoreUnderTest) -> list[Order]:
    """Six orders placed a second apart, each of which is due thirty seconds later."""
    return [await store.created(placed_order(at=AT + timedelta(seconds=second))) for second in range(6)]


async def test_the_overdue_are_those_whose_deadline_has_come_longest_first(store: StoreUnderTest) -> None:
    waiting = await _waiting(store)
    third = waiting[2].deadline
    assert third is not None

    assert await store.orders.overdue(third, limit=100) == [order.id for order in waiting[:3]]
    assert await store.orders.overdue(third - timedelta(microseconds=1), limit=100) == [
        order.id for order in waiting[:2]
    ]
    assert await store.orders.overdue(third, limit=2) == [order.id for order in waiting[:2]]
    assert await store.orders.overdue(AT, limit=100) == []


async def test_an_order_is_overdue_by_its_last_deadline(store: StoreUnderTest) -> None:
    answered, forgotten = (await _waiting(store))[:2]
    await store.update(led(stored(answered), RESERVED, at=AT + timedelta(minutes=5)), 1)

    overdue = await store.orders.overdue(AT + timedelta(minutes=5), limit=100)

    assert forgotten.id in overdue
    assert answered.id not in overdue
    assert answered.id in await store.orders.overdue(AT + timedelta(minutes=5) + STEP_TIMEOUT, limit=100)


@pytest.mark.parametrize("status", OrderStatus)
async def test_only_who_waits_for_something_is_ever_overdue(store: StoreUnderTest, status: OrderStatus) -> None:
    order = await store.created(placed_order())
    if status is not OrderStatus.PENDING:
        await store.update(stepped(stored(order), status), 1)

    waits = status in (OrderStatus.PENDING, OrderStatus.CANCELLING)
    assert await store.orders.overdue(LATER + timedelta(days=365), limit=100) == ([order.id] if waits else [])


async def test_a_stuck_order_that_is_tried_again_waits_again(store: StoreUnderTest) -> None:
    order = await store.created(placed_order())
    stuck = led(stored(order), Cancel(), *(DeadlinePassed(),) * 6)
    await store.update(stuck, 1)

    retried = led(stored(stuck), Retry(), at=LATER)
    assert await store.commit(Changes(retried, stuck.version, ())) == Committed()

    assert await store.orders.find(order.id) == stored(retried)
    assert await store.orders.overdue(LATER + STEP_TIMEOUT, limit=1) == [order.id]
