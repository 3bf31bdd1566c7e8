"""What only a real database can show: instances that meet in locks, each going the other way."""

import asyncio
import random
from collections.abc import Sequence

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from inventory_service.application import StockStore, StockWrite
from tests.inventory_service.conftest import StockUnderTest, fetch, postgres_stock
from tests.inventory_service.stock import has_effect, product, releasing, reserving
from tests.real_parts.query import waiting_for_locks
from tests.real_parts.waiting import DEADLINE, until

NAMES = [f"p{number}" for number in range(9)]
ORDERS = [uuid7() for _ in range(9)]
EVENTS = [uuid7() for _ in range(9)]


@pytest.fixture
def dsn(inventory_database: str) -> str:
    """A database that resolves no deadlock: the commits that are in one fail."""
    name = inventory_database.split("?")[0].rpartition("/")[2]
    asyncio.run(fetch(inventory_database, f"alter database {name} set deadlock_timeout = '1h'"))
    return inventory_database


async def _meet(
    stock: StockUnderTest, dsn: str, in_the_middle: str, here: Sequence[StockWrite], there: Sequence[StockWrite]
) -> list[object]:
    """Two instances commit a batch each. Both are stopped half-way, by a lock `in_the_middle`, and then let go on."""
    holder = await asyncpg.connect(dsn)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute(in_the_middle)
    both = ((stock.store, here), (stock.another, there))
    commits = [asyncio.create_task(has_effect(store, write)) for store, writes in both for write in writes]
    await until(lambda: waiting_for_locks(dsn, 2), "both instances wait for a lock")
    await transaction.rollback()
    await holder.close()
    async with asyncio.timeout(DEADLINE):
        return await asyncio.gather(*commits, return_exceptions=True)


async def test_instances_that_meet_in_claims_do_not_deadlock(dsn: str) -> None:
    async with postgres_stock(dsn) as stock:
        copies = [releasing(order, event_id=event) for order, event in zip(ORDERS, EVENTS, strict=True)]

        outcomes = await _meet(stock, dsn, f"insert into inbox values ('{EVENTS[4]}')", copies, copies[::-1])

        for one, other in zip(outcomes[:9], outcomes[:8:-1], strict=True):
            assert {one, other} == {True, False}, (one, other)


async def test_instances_that_meet_in_new_reservations_do_not_deadlock(dsn: str) -> None:
    there_is_one = f"insert into reservations (order_id, status, lines) values ('{ORDERS[4]}', 'RELEASED', '[]')"
    async with postgres_stock(dsn) as stock:
        await stock.add(product("p1", 100))
        reserves = [reserving(order, {"p1": 1}) for order in ORDERS]

        outcomes = await _meet(stock, dsn, there_is_one, reserves, [releasing(order) for order in ORDERS[::-1]])

        assert outcomes == [True] * 18
        in_turn = (["StockReserved", "StockReleased"], ["StockReleased", "StockRejected"])
        heard = {order: await stock.answers(order) for order in ORDERS}
        assert {order: answers for order, answers in heard.items() if answers not in in_turn} == {}
        assert {await stock.status(order) for order in ORDERS} == {"RELEASED"}
        await stock.assert_nothing_is_lost(p1=100)


async def test_instances_that_meet_in_reservations_that_are_there_do_not_deadlock(dsn: str) -> None:
    async with postgres_stock(dsn) as stock:
        await stock.add(product("p1", 100))
        for order in ORDERS:
            await stock.write(reserving(order, {"p1": 1}))
        held = f"select from reservations where order_id = '{ORDERS[4]}' for update"
        releases = [releasing(order) for order in ORDERS]

        outcomes = await _meet(stock, dsn, held, releases, [releasing(order) for order in ORDERS[::-1]])

        assert outcomes == [True] * 18
        assert await stock.stock("p1") == (100, 0)


async def test_instances_that_meet_in_products_do_not_deadlock(dsn: str) -> None:
    async with postgres_stock(dsn) as stock:
        await stock.add(*(product(name, 10) for name in NAMES))
        held = "select from products where id = 'p4' for update"
        there, back = reserving(uuid7(), dict.fromkeys(NAMES, 1)), reserving(uuid7(), dict.fromkeys(NAMES[::-1], 1))

        assert await _meet(stock, dsn, held, [there], [back]) == [True] * 2

        await stock.assert_nothing_is_lost(**dict.fromkeys(NAMES, 10))


async def test_overlapping_orders_in_opposite_directions_from_two_instances_never_deadlock_and_never_oversell(
    dsn: str,
) -> None:
    chance = random.Random(11)
    # Batches of a few, so that many of them are under way at the same time and none has all the products.
    async with postgres_stock(dsn, max_batch=3) as stock:
        await stock.add(*(product(name, 100) for name in NAMES))
        writes: list[tuple[StockStore, StockWrite]] = []
        for _ in range(150):
            some = chance.sample(NAMES, 5)
            writes += [(stock.store, reserving(uuid7(), dict.fromkeys(some, 1)))]
            writes += [(stock.another, reserving(uuid7(), dict.fromkeys(reversed(some), 1)))]

        async with asyncio.timeout(DEADLINE):
            outcomes = await asyncio.gather(
                *(has_effect(store, write) for store, write in writes), return_exceptions=True
            )

        assert [outcome for outcome in outcomes if outcome is not True] == []
        await stock.assert_nothing_is_lost(**dict.fromkeys(NAMES, 100))
