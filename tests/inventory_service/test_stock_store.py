"""What every stock store must do."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from uuid_utils.compat import uuid4, uuid7

from inventory_service.application import SAMPLE_PRODUCTS, FindProducts, PutProduct, StockWrite, add_sample_products
from inventory_service.domain import AlreadyShipped, NothingToShip, OnHandBelowReserved
from shared_kernel.money import Money
from shared_kernel.product import ProductId
from tests.inventory_service.conftest import StockUnderTest
from tests.inventory_service.stock import has_effect, product, releasing, reserving, shipping
from tests.real_parts.waiting import DEADLINE


async def _commit_all(stock: StockUnderTest, writes: Sequence[StockWrite]) -> list[object]:
    """Commit them at the same time, through both instances in turn; answers outcomes and errors."""
    stores = (stock.store, stock.another)
    async with asyncio.timeout(DEADLINE):
        return await asyncio.gather(
            *(has_effect(stores[place % 2], write) for place, write in enumerate(writes)), return_exceptions=True
        )


async def test_a_reservation_is_stored_with_the_stock_it_holds_and_its_answer(stock: StockUnderTest) -> None:
    await stock.add(product("p1", 10), product("Größe 42 😀", 5, price="3.99"), product("p3"))
    order = uuid7()

    assert await stock.write(reserving(order, {"Größe 42 😀": 1, "p1": 3}))

    reservation = (await stock.reservations())[order]
    assert [(line.product_id.value, line.quantity, line.unit_price.amount) for line in reservation.lines] == [
        ("Größe 42 😀", 1, "3.99"),
        ("p1", 3, "12.50"),
    ]
    assert await stock.status(order) == "RESERVED"
    assert await stock.messages() == [(str(order), "StockReserved")]
    await stock.assert_nothing_is_lost(**{"p1": 10, "Größe 42 😀": 5, "p3": 10})


async def test_a_rejection_is_stored_with_its_reason_and_holds_nothing(stock: StockUnderTest) -> None:
    await stock.add(product("p1", 2))
    order = uuid7()

    await stock.write(reserving(order, {"p1": 3}))

    assert (await stock.reservations())[order].reason == "product p1: 3 wanted, 2 available"
    assert await stock.answers(order) == ["StockRejected"]
    assert await stock.stock("p1") == (2, 0)


async def test_the_life_of_a_reservation_is_stored_step_by_step(stock: StockUnderTest) -> None:
    await stock.add(product("p1", 10))
    shipped, released, tombstone = uuid7(), uuid7(), uuid7()
    seen = []

    for write in (
        reserving(shipped, {"p1": 3}),
        reserving(released, {"p1": 2}),
        releasing(released),
        shipping(shipped),
        releasing(tombstone),
        reserving(tombstone, {"p1": 1}),
    ):
        assert await stock.write(write)
        seen.append(await stock.stock("p1"))

    assert seen == [(10, 3), (10, 5), (10, 3), (7, 0), (7, 0), (7, 0)]
    assert await stock.answers(shipped) == ["StockReserved"]
    assert await stock.answers(released) == ["StockReserved", "StockReleased"]
    assert await stock.answers(tombstone) == ["StockReleased", "StockRejected"]
    statuses = [await stock.status(order) for order in (shipped, released, tombstone)]
    assert statuses == ["SHIPPED", "RELEASED", "RELEASED"]


async def test_the_same_event_twice_has_one_effect_and_one_answer(stock: StockUnderTest) -> None:
    await stock.add(product("p1", 10))
    order, event = uuid7(), uuid7()

    first = await stock.write(reserving(order, {"p1": 3}, event_id=event))
    again = await stock.write(reserving(order, {"p1": 3}, event_id=event))

    assert (first, again) == (True, False)
    assert await stock.stock("p1") == (10, 3)
    assert await stock.answers(order) == ["StockReserved"]


async def test_copies_of_an_event_that_race_have_one_effect_and_one_answer(stock: StockUnderTest) -> None:
    await stock.add(product("p1", 1000))
    orders = [uuid7() for _ in range(30)]
    events = {order: uuid7() for order in orders}
    copies = [reserving(order, {"p1": 3}, event_id=events[order]) for order in orders * 4]
    random.Random(5).shuffle(copies)

    outcomes = await _commit_all(stock, copies)

    assert Counter(outcomes) == {True: 30, False: 90}
    assert await stock.stock("p1") == (1000, 90)
    assert sorted(await stock.messages()) == sorted((str(order), "StockReserved") for order in orders)


async def test_a_command_repeated_with_another_event_id_is_answered_again_and_changes_nothing(
    stock: StockUnderTest,
) -> None:
    await stock.add(product("p1", 10))
    order = uuid7()
    await stock.write(reserving(order, {"p1": 3}))
    await PutProduct(stock.store)(ProductId("p1"), price=Money.of("99.00", "USD"), on_hand=10)

    assert await stock.write(reserving(order, {"p1": 3}))

    assert await stock.stock("p1") == (10, 3)
    assert await stock.answers(order) == ["StockReserved", "StockReserved"]
    (line,) = (await stock.reservations())[order].lines
    assert line.unit_price == Money.of("12.50", "EUR")


async def test_everything_delivered_again_from_the_beginning_changes_nothing(stock: StockUnderTest) -> None:
    await stock.add(product("p1", 100), product("p2", 100))
    orders = [uuid7() for _ in range(12)]
    history = [reserving(order, {"p1": 2, "p2": 1}) for order in orders]
    history += [releasing(order) for order in orders[:4]] + [shipping(order) for order in orders[4:8]]
    for write in history:
        await stock.write(write)
    before = (await stock.stock("p1"), await stock.stock("p2"), await stock.reservations(), await stock.messages())

    outcomes = await _commit_all(stock, history)

    assert outcomes == [False for write in history]
    after = (await stock.stock("p1"), await stock.stock("p2"), await stock.reservations(), await stock.messages())
    assert after == before


async def test_a_command_that_cannot_be_followed_fails_alone_and_leaves_no_claim(stock: StockUnderTest) -> None:
    await stock.add(product("p1", 100))
    shipped, unknown, event = uuid7(), uuid7(), uuid7()
    await stock.write(reserving(shipped, {"p1": 1}))
    await stock.write(shipping(shipped))
    neighbours = [uuid7() for _ in range(10)]
    writes = [reserving(order, {"p1": 1}) for order in neighbours]
    writes[3:3] = [releasing(shipped), shipping(unknown, event_id=event)]

    outcomes = await _commit_all(stock, writes)

    assert [type(outcome) for outcome in outcomes[3:5]] == [AlreadyShipped, NothingToShip]
    assert outcomes[:3] + outcomes[5:] == [True] * 10
    await stock.assert_nothing_is_lost(p1=100)
    assert await stock.answers(shipped) == ["StockReserved"]
    await stock.write(reserving(unknown, {"p1": 1}))
    assert await stock.write(shipping(unknown, event_id=event))
    assert await stock.status(unknown) == "SHIPPED"


async def test_of_commands_that_wait_together_each_rests_on_those_before_it(stock: StockUnderTest) -> None:
    await stock.add(product("p1", 10))
    order = uuid7()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(
            *(
                has_effect(stock.store, write)
                for write in (reserving(uuid7(), {"p1": 8}), reserving(order, {"p1": 3}), reserving(uuid7(), {"p1": 2}))
            )
        )

    assert await stock.answers(order) == ["StockRejected"]
    assert await stock.stock("p1") == (10, 10)


async def test_commands_of_one_order_that_wait_together_are_answered_in_their_order(stock: StockUnderTest) -> None:
    await stock.add(product("p1", 10))
    order = uuid7()
    writes = [reserving(order, {"p1": 1}), releasing(order), reserving(order, {"p1": 1}), releasing(order)]

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*map(stock.store.write, writes))

    assert await stock.answers(order) == ["StockReserved", "StockReleased", "StockRejected", "StockReleased"]
    assert await stock.stock("p1") == (10, 0)


async def test_a_thousand_orders_for_the_last_ten_pieces_get_exactly_ten(stock: StockUnderTest) -> None:
    await stock.add(product("p1", 10))
    orders = [uuid7() for _ in range(1000)]

    outcomes = await _commit_all(stock, [reserving(order, {"p1": 1}) for order in orders])

    assert outcomes == [True] * 1000
    assert Counter(kind for _, kind in await stock.messages()) == {"StockReserved": 10, "StockRejected": 990}
    assert await stock.stock("p1") == (10, 10)
    await stock.assert_nothing_is_lost(p1=10)


async def test_whatever_races_with_whatever_nothing_is_lost_and_every_order_is_answered(stock: StockUnderTest) -> None:
    chance = random.Random(7)
    on_hand = {f"p{number}": 60 for number in range(6)}
    await stock.add(*(product(name, pieces) for name, pieces in on_hand.items()))
    orders = [uuid7() for _ in range(120)]
    writes = [reserving(order, dict.fromkeys(chance.sample(list(on_hand), 3), 1)) for order in orders]
    writes += [releasing(order) for order in chance.sample(orders, 60)]
    writes += [shipping(order) for order in chance.sample(orders, 30)]
    writes += chance.sample(writes, 60)
    chance.shuffle(writes)

    outcomes = await _commit_all(stock, writes)

    refused = (AlreadyShipped, NothingToShip)
    assert [o for o in outcomes if not isinstance(o, bool | AlreadyShipped | NothingToShip)] == []
    assert any(isinstance(outcome, refused) for outcome in outcomes)
    await stock.assert_nothing_is_lost(**on_hand)
    assert {key for key, _ in await stock.messages()} == {str(order) for order in orders}


async def test_a_product_is_new_once_and_is_changed_after_that(stock: StockUnderTest) -> None:
    put = PutProduct(stock.store)
    euros, yen = Money.of("12.50", "EUR"), Money.of("500", "JPY")

    added = await put(ProductId("p1"), price=euros, on_hand=5)
    changed = await put(ProductId("p1"), price=yen, on_hand=7)

    assert added == (product("p1", 5), True)
    assert changed == (product("p1", 7, price="500", currency="JPY"), False)
    assert await stock.store.find(ProductId("p1")) == changed[0]
    assert await stock.store.find(ProductId("P1")) is None


async def test_stock_is_never_counted_below_what_is_reserved(stock: StockUnderTest) -> None:
    await stock.add(product("p1", 10))
    await stock.write(reserving(uuid7(), {"p1": 4}))
    put = PutProduct(stock.store)

    with pytest.raises(OnHandBelowReserved):
        await put(ProductId("p1"), price=Money.of("1.00", "EUR"), on_hand=3)
    assert await stock.store.find(ProductId("p1")) == product("p1", 10, reserved=4)

    await put(ProductId("p1"), price=Money.of("1.00", "EUR"), on_hand=4)
    assert await stock.stock("p1") == (4, 4)


async def test_counting_that_races_with_reserving_never_forgets_what_is_reserved(stock: StockUnderTest) -> None:
    orders = [uuid7() for _ in range(60)]
    put = PutProduct(stock.another)

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(
            *(has_effect(stock.store, reserving(order, {"p1": 1})) for order in orders),
            *(put(ProductId("p1"), price=Money.of("1.00", "EUR"), on_hand=60 + extra) for extra in range(20)),
        )

    on_hand, reserved = await stock.stock("p1")
    statuses = Counter(reservation.status.value for reservation in (await stock.reservations()).values())
    assert (reserved, statuses.total()) == (statuses["RESERVED"], 60)
    assert on_hand in range(60, 80)


async def test_products_are_paged_by_their_ids_by_code_point(stock: StockUnderTest) -> None:
    names = ["p1", "p10", "p2", "P3", "a b", "Äpfel", "äpfel", "zebra", "日本", "😀", "_", "-"]
    await stock.add(*map(product, names))
    find = FindProducts(stock.store)
    seen: list[str] = []
    after: ProductId | None = None

    while after or not seen:
        page = await find.page(after=after, limit=5)
        seen += [item.id.value for item in page.products]
        after = page.next_after

    assert seen == sorted(names)
    assert await find.page(after=ProductId("😀"), limit=5) == await find.page(after=ProductId("😀"), limit=1)


async def test_sample_products_are_added_and_leave_those_alone_that_are_there(stock: StockUnderTest) -> None:
    mine = product("p3", 1, price="7.00")
    await stock.add(mine)

    for _ in range(2):
        await add_sample_products(stock.store)
        await stock.write(reserving(uuid7(), {"p5": 1}))

    found = (await FindProducts(stock.store).page(after=None, limit=100)).products
    assert [item.id.value for item in found] == ["p1", "p2", "p3", "p4", "p5"]
    assert found[2] == mine
    assert (found[4].on_hand, found[4].reserved) == (10, 2)
    assert [item for item in found if item in SAMPLE_PRODUCTS] == [found[0], found[1], found[3]]


async def test_an_order_id_of_any_kind_will_do(stock: StockUnderTest) -> None:
    order = uuid4()

    assert await stock.write(releasing(order))

    assert await stock.status(order) == "RELEASED"
