"""Whatever an order has been through, it comes back from the store as it went in; and who is overdue is found."""

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from docs.generate_fulfilment import HAPPENINGS, of_its_version
from order_service.application.ports import Overdue
from order_service.domain.fulfilment import (
    Cancel,
    DeadlinePassed,
    Happening,
    PaymentDeclined,
    Retry,
    StockRejected,
    StockReleased,
    StockReserved,
    react,
)
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import IllegalTransition, OrderStatus
from shared_kernel.money import Money
from shared_kernel.product import MAX_QUANTITY, ProductId
from tests.domain.orders import (
    LATER,
    RESERVED,
    STEP_TIMEOUT,
    led,
    line,
    moment,
    placed_order,
    stepped,
    stored,
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
        return led(order, happening) if react(stored(order), of_its_version(happening, order), moment()) else order
    except IllegalTransition:
        return order


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=lives())
async def test_an_order_comes_back_as_it_went_in(store: StoreUnderTest, life: tuple[Order, Order]) -> None:
    placed, order = life
    await store.created(placed)
    if order is not placed:
        await store.update(order)

    assert await store.orders.find(order.id) == stored(order)
    assert order.id in [listed.id for listed in await store.orders.newest(status=order.status, before=None, limit=1)]


ODD = ["\U0001fadd", "\u200b", ".", "..", "\U000e0fff", "a\nb"]
"""Names that another release, or another Python, may have let an order have."""


@pytest.mark.parametrize("name", ODD, ids=ascii)
async def test_what_was_storable_once_is_read_for_ever(store: StoreUnderTest, name: str) -> None:
    placed = placed_order(line(name, MAX_QUANTITY + 1), customer_id=name)
    order = await store.created(placed)
    rejected = led(order, StockRejected(f"product {name} is not in the catalogue"))
    await store.update(rejected)

    assert await store.orders.find(order.id) == stored(rejected)
    assert list(await store.orders.newest(status=None, before=None, limit=10)) == [stored(rejected)]


async def _overdue_for(store: StoreUnderTest, *ages: float) -> list[OrderId]:
    """Orders whose deadlines passed so many seconds ago."""
    placed = [replace(placed_order(), patience=timedelta(seconds=-age)) for age in ages]
    return [(await store.created(order)).id for order in placed]


async def _ids(overdue: Awaitable[Sequence[Overdue]]) -> list[OrderId]:
    return [each.order_id for each in await overdue]


async def test_the_overdue_are_those_whose_deadline_has_come_longest_first(store: StoreUnderTest) -> None:
    second, first, third, *_ = ids = await _overdue_for(store, 200, 300, 100, -100, -200)

    assert await _ids(store.orders.overdue(100)) == [first, second, third]
    assert await _ids(store.orders.overdue(2)) == [first, second]
    assert await _ids(store.orders.overdue(100, grace=timedelta(seconds=150))) == [first, second]
    assert await _ids(store.orders.overdue(100, grace=timedelta(seconds=350))) == []
    assert set(await _ids(store.orders.overdue(100, grace=timedelta(seconds=-250)))) == set(ids)


async def test_the_overdue_are_read_page_by_page_each_of_them_once(store: StoreUnderTest) -> None:
    """Also those of one deadline, and though none of them is seen to meanwhile."""
    ids = await _overdue_for(store, *range(10, 0, -1))
    pages, last = [], None
    while page := await store.orders.overdue(3, after=last):
        pages.append([each.order_id for each in page])
        last = page[-1]

    assert pages == [ids[:3], ids[3:6], ids[6:9], ids[9:]]


async def test_an_order_is_overdue_in_the_version_in_which_it_is(store: StoreUnderTest) -> None:
    order = replace(placed_order(), patience=-STEP_TIMEOUT)
    await store.created(order)
    assert [(each.order_id, each.version) for each in await store.orders.overdue(100)] == [(order.id, 1)]

    await store.update(replace(led(stored(order), RESERVED), patience=-STEP_TIMEOUT))

    assert [(each.order_id, each.version) for each in await store.orders.overdue(100)] == [(order.id, 2)]


async def test_an_order_is_overdue_by_its_last_deadline(store: StoreUnderTest) -> None:
    answered, forgotten = [replace(placed_order(), patience=-STEP_TIMEOUT) for _ in range(2)]
    for order in (answered, forgotten):
        await store.created(order)

    await store.update(led(stored(answered), RESERVED))

    assert await _ids(store.orders.overdue(100)) == [forgotten.id]


async def test_the_first_of_two_answers_leaves_the_deadline_where_it_is(store: StoreUnderTest) -> None:
    order = placed_order()
    await store.created(order)
    both = replace(led(stored(order), RESERVED, Cancel()), patience=-STEP_TIMEOUT)
    await store.update(both)
    (before,) = await store.orders.overdue(100)

    await store.update(led(stored(both), StockReleased()))

    assert await store.orders.overdue(100) == [Overdue(order.id, both.version + 1, before.deadline)]


@pytest.mark.parametrize("status", OrderStatus)
async def test_only_who_waits_for_something_is_ever_overdue(store: StoreUnderTest, status: OrderStatus) -> None:
    order = await store.created(placed_order())
    if status is not OrderStatus.PENDING:
        await store.update(stepped(stored(order), status))

    waits = status in (OrderStatus.PENDING, OrderStatus.CANCELLING)
    assert await _ids(store.orders.overdue(100, grace=-timedelta(days=365))) == ([order.id] if waits else [])


async def test_a_stuck_order_that_is_tried_again_waits_again(store: StoreUnderTest) -> None:
    order = await store.created(placed_order())
    stuck = led(stored(order), Cancel(), *(DeadlinePassed(version=1),) * 6)
    await store.update(stuck)

    retried = led(stored(stuck), Retry(), at=LATER)
    await store.update(retried)

    assert await store.orders.find(order.id) == stored(retried)
    assert await _ids(store.orders.overdue(1)) == []
    assert await _ids(store.orders.overdue(1, grace=-STEP_TIMEOUT)) == [order.id]
