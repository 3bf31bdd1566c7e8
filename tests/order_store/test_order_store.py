"""What every order store must do."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from messaging.ports.changes import Created, Creation, Duplicate, IdempotencyKey, IdTaken, Write, Written
from order_service.application.ports import OrderCreation, OrderWrite
from order_service.domain.fulfilment import Cancel, Complete, StockReleased
from order_service.domain.order import Order, OrderId, TimelineEntry
from order_service.domain.order_status import OrderStatus
from shared_kernel.caller import ANONYMOUS_NAME
from tests.domain.orders import LATER, led, line, placed_order, stepped, stored
from tests.order_store.conftest import StoreUnderTest, handling


def _claimed(key: str, *, request: bytes = b"r" * 32, caller: str = "c") -> OrderCreation:
    order = replace(placed_order(), caller=caller)
    return Creation(order, order.events, IdempotencyKey(caller, key, request))


async def test_a_committed_order_is_found_as_it_was_with_its_event_in_the_outbox(store: StoreUnderTest) -> None:
    order = placed_order(line("Größe 42 😀", 10_000), line('"\\{', 1), customer_id="日本")

    assert await store.create(order) == Created()

    assert await store.orders.find(order.id) == stored(order)
    assert await store.messages() == [(str(order.id), "OrderCreatedEvent")]


async def test_an_order_that_was_never_stored_is_not_found(store: StoreUnderTest) -> None:
    await store.created(placed_order())

    assert await store.orders.find(OrderId(uuid7())) is None


@pytest.mark.parametrize("status", OrderStatus)
async def test_an_order_is_rehydrated_in_every_status(store: StoreUnderTest, status: OrderStatus) -> None:
    placed = await store.created(placed_order(line("p1", 2), line("p2", 3), customer_id="c1"))
    order = stepped(stored(placed), status)
    if status is not OrderStatus.PENDING:
        await store.update(order)

    assert await store.orders.find(order.id) == stored(order)


async def test_each_transition_of_an_order_is_stored_with_its_event(store: StoreUnderTest) -> None:
    order = await store.created(placed_order(line("p1"), line("p2")))
    confirmed = stepped(stored(order), OrderStatus.CONFIRMED)
    await store.update(confirmed)
    completed = led(stored(confirmed), Complete())
    await store.update(completed)

    assert await store.orders.find(order.id) == stored(completed)
    assert [kind for _, kind in await store.messages()] == [
        "OrderCreatedEvent",
        "OrderConfirmedEvent",
        "OrderCompletedEvent",
    ]


async def test_several_events_of_one_commit_keep_their_order(store: StoreUnderTest) -> None:
    order = await store.created(placed_order(line("p1"), line("p2")))
    completed = stepped(stored(order), OrderStatus.COMPLETED)

    await store.update(completed)

    assert [kind for _, kind in await store.messages()][1:] == ["OrderConfirmedEvent", "OrderCompletedEvent"]


async def test_a_decision_is_made_on_the_order_as_it_is_by_then(
    store: StoreUnderTest,
) -> None:
    order = await store.created(placed_order())
    rejected = stepped(stored(order), OrderStatus.REJECTED)
    await store.update(rejected)
    seen: list[Order | None] = []

    written = await store.write(Write(order.id.value, seen.append))

    assert seen == [stored(rejected)]
    assert written == Written(stored(rejected), None), "nothing was decided"
    assert await store.orders.find(order.id) == stored(rejected)
    assert [kind for _, kind in await store.messages()] == ["OrderCreatedEvent", "OrderRejectedEvent"]


async def test_a_decision_on_an_order_that_was_never_stored_sees_that_and_stores_nothing(store: StoreUnderTest) -> None:
    seen: list[Order | None] = []

    assert await store.write(Write(uuid7(), seen.append)) == Written(None, None)

    assert seen == [None]
    assert await store.messages() == []


class _Refused(Exception):
    """A rule of the domain says no."""


async def test_a_decision_that_is_refused_is_refused_alone(store: StoreUnderTest) -> None:
    """Those before and after it are of the same orders, and go on from what is there."""
    orders = [await store.created(placed_order()) for _ in range(4)]

    def refuse(_: Order | None) -> None:
        raise _Refused

    writes: list[OrderWrite] = []
    for order in orders:
        writes += [handling(order.id, Cancel()), Write(order.id.value, refuse), handling(order.id, StockReleased())]
    outcomes = await asyncio.gather(*(store.write(write) for write in writes), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [Written, _Refused, Written] * 4
    for order in orders:
        found = await store.orders.find(order.id)
        assert found is not None
        assert (found.status, found.version) == (OrderStatus.CANCELLED, 3)


async def test_an_order_whose_id_is_taken_is_refused_and_nothing_of_it_is_stored(store: StoreUnderTest) -> None:
    order = await store.created(placed_order(line("p1")))
    same_id = replace(placed_order(line("p2")), id=order.id)

    with pytest.raises(IdTaken, match=str(order.id)):
        await store.create(same_id)

    assert await store.orders.find(order.id) == stored(order)
    assert len(await store.messages()) == 1


async def test_writes_of_one_order_at_the_same_time_are_decided_one_after_the_other(store: StoreUnderTest) -> None:
    orders = [await store.created(placed_order()) for _ in range(10)]
    cancellations = [handling(order.id, Cancel()) for order in orders for _ in range(3)]

    written = await asyncio.gather(*(store.write(write) for write in cancellations))

    assert [each.decision is not None for each in written] == [True, False, False] * 10, (
        "cancelling again is nothing new"
    )
    assert {each.aggregate and (each.aggregate.status, each.aggregate.version) for each in written} == {
        (OrderStatus.CANCELLING, 2)
    }
    assert Counter(kind for _, kind in await store.messages()) == {"OrderCreatedEvent": 10, "ReleaseStock": 10}


async def test_a_claim_that_was_taken_before_is_a_duplicate_that_names_the_first(store: StoreUnderTest) -> None:
    first, again = _claimed("k"), _claimed("k", request=b"x" * 32)
    assert await store.created_by(first) == Created()

    assert await store.created_by(again) == Duplicate(first.aggregate.id.value, b"r" * 32)

    assert await store.orders.find(again.aggregate.id) is None
    assert await store.messages() == [(str(first.aggregate.id), "OrderCreatedEvent")]


async def test_a_key_belongs_to_its_caller(store: StoreUnderTest) -> None:
    assert await store.created_by(_claimed("k", caller="a")) == Created()
    assert await store.created_by(_claimed("k", caller="b")) == Created()
    assert await store.created_by(_claimed("K", caller="a")) == Created()


async def test_of_two_hundred_racing_copies_of_one_key_one_is_committed_and_all_others_name_it(
    store: StoreUnderTest,
) -> None:
    copies = [_claimed("once") for _ in range(200)]
    strangers = [placed_order() for _ in range(100)]

    outcomes, others = await asyncio.gather(
        asyncio.gather(*(store.created_by(copy) for copy in copies)),
        asyncio.gather(*(store.create(stranger) for stranger in strangers)),
    )

    (winner,) = [copy for copy, outcome in zip(copies, outcomes, strict=True) if outcome == Created()]
    named = Duplicate(winner.aggregate.id.value, b"r" * 32)
    assert Counter(outcomes) == {Created(): 1, named: 199}
    assert set(others) == {Created()}
    assert sorted(key for key, _ in await store.messages()) == sorted(
        [str(winner.aggregate.id), *(str(stranger.id) for stranger in strangers)]
    )


async def test_keys_that_race_in_opposite_sequences_all_get_their_answer(store: StoreUnderTest) -> None:
    keys = [f"k{number}" for number in range(100)]
    changes = [_claimed(key) for key in (*keys, *reversed(keys), *keys)]

    outcomes = await asyncio.gather(*(store.created_by(change) for change in changes))

    assert Counter(type(outcome).__name__ for outcome in outcomes) == {"Created": 100, "Duplicate": 200}
    assert len(await store.messages()) == 100


async def _twelve(store: StoreUnderTest) -> list[Order]:
    orders = [await store.created(placed_order()) for _ in range(12)]
    for order in orders[::3]:
        await store.update(stepped(stored(order), OrderStatus.CANCELLED))
    return orders


async def test_orders_are_listed_newest_first(store: StoreUnderTest) -> None:
    orders = await _twelve(store)

    listed = await store.orders.newest(status=None, before=None, limit=100)

    assert [order.id for order in listed] == [order.id for order in reversed(orders)]
    assert listed[0] == await store.orders.find(listed[0].id)


async def test_a_page_holds_at_most_its_limit_and_continues_before_an_order(store: StoreUnderTest) -> None:
    newest_first = [order.id for order in reversed(await _twelve(store))]

    first = await store.orders.newest(status=None, before=None, limit=5)
    second = await store.orders.newest(status=None, before=first[-1].id, limit=5)
    last = await store.orders.newest(status=None, before=second[-1].id, limit=5)
    beyond = await store.orders.newest(status=None, before=last[-1].id, limit=5)

    assert [order.id for order in (*first, *second, *last)] == newest_first
    assert [len(page) for page in (first, second, last, beyond)] == [5, 5, 2, 0]


async def test_a_listing_can_be_of_one_caller_and_of_one_of_its_statuses(store: StoreUnderTest) -> None:
    shops = [await store.created(replace(placed_order(), caller="shop")) for _ in range(6)]
    for caller in ("rival", ANONYMOUS_NAME):
        await store.created(replace(placed_order(), caller=caller))
    await store.created(placed_order())
    cancelled = shops[::2]
    for order in cancelled:
        await store.update(stepped(stored(order), OrderStatus.CANCELLED))

    async def listed(**which: Any) -> list[OrderId]:
        asked = {"status": None, "before": None, "limit": 100, "caller": "shop"} | which
        return [order.id for order in await store.orders.newest(**asked)]

    newest_first = [order.id for order in reversed(shops)]
    assert await listed() == newest_first
    assert await listed(limit=2) == newest_first[:2]
    assert await listed(before=newest_first[1]) == newest_first[2:]
    assert await listed(status=OrderStatus.CANCELLED) == [order.id for order in reversed(cancelled)]
    assert await listed(status=OrderStatus.CONFIRMED) == []
    assert await listed(caller="nobody") == []


async def test_whose_an_order_is_never_changes(store: StoreUnderTest) -> None:
    order = await store.created(replace(placed_order(), caller="shop"))

    await store.update(stepped(stored(order), OrderStatus.CANCELLED))

    found = await store.orders.find(order.id)
    assert found is not None
    assert (found.status, found.caller) == (OrderStatus.CANCELLED, "shop")


async def test_a_listing_can_be_of_one_status(store: StoreUnderTest) -> None:
    orders = await _twelve(store)
    cancelled = [order.id for order in reversed(orders[::3])]

    listed = await store.orders.newest(status=OrderStatus.CANCELLED, before=None, limit=100)
    after_the_second = await store.orders.newest(status=OrderStatus.CANCELLED, before=cancelled[1], limit=1)

    assert [order.id for order in listed] == cancelled
    assert {order.status for order in listed} == {OrderStatus.CANCELLED}
    assert [order.id for order in after_the_second] == [cancelled[2]]
    assert await store.orders.newest(status=OrderStatus.COMPLETED, before=None, limit=100) == []


async def test_orders_are_counted_by_their_status(store: StoreUnderTest) -> None:
    await _twelve(store)

    counts = {status: await store.orders.count(status) for status in OrderStatus}

    assert {status: count for status, count in counts.items() if count} == {
        OrderStatus.PENDING: 8,
        OrderStatus.CANCELLED: 4,
    }


async def test_a_long_timeline_comes_back_in_full(store: StoreUnderTest) -> None:
    order = await store.created(placed_order())
    steps = tuple(TimelineEntry(LATER, OrderStatus.CANCELLING, f"try {number}: “{'x' * 200}”") for number in range(50))
    taken_back = stepped(stored(order), OrderStatus.CANCELLING)
    long_lived = replace(taken_back, timeline=(*order.timeline, *steps))

    await store.update(long_lived)

    assert await store.orders.find(order.id) == stored(long_lived)
