"""What only a real database can show: instances that race, and sums that agree in every snapshot."""

import asyncio
import random
from collections.abc import Awaitable
from functools import partial
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from inventory_service.application import PutProduct, StockWrite
from inventory_service.domain import AlreadyShipped, Decision
from inventory_service.infrastructure.postgres import PostgresStock
from messaging.ports.changes import InboxClaim, StoreUnavailable
from messaging.ports.outbox import shard_of
from messaging.postgres.pool import open_pools
from shared_kernel.money import Money
from shared_kernel.product import ProductId
from tests.inventory_service.conftest import fetch, instance, postgres_stock
from tests.inventory_service.stock import has_effect, product, releasing, reserving, shipping
from tests.real_parts.query import waiting_for_locks
from tests.real_parts.relays import nobody
from tests.real_parts.waiting import DEADLINE, until

# One statement sees one snapshot: every commit is in it as a whole, or not at all.
_SUMS = """
    select p.id, p.on_hand, p.reserved,
           coalesce(sum(l.q) filter (where l.status = 'RESERVED'), 0)::bigint as held,
           coalesce(sum(l.q) filter (where l.status = 'SHIPPED'), 0)::bigint as shipped
    from products p left join (
        select status, e->>'p' as product, (e->>'q')::integer as q from reservations, jsonb_array_elements(lines) e
    ) l on l.product = p.id group by p.id
"""


async def test_in_every_snapshot_what_is_reserved_is_the_sum_of_what_orders_hold(inventory_database: str) -> None:
    chance = random.Random(3)
    names = ["p1", "p2", "p3"]
    async with postgres_stock(inventory_database, max_batch=4) as stock:
        await stock.add(*(product(name, 200) for name in names))
        orders = [uuid7() for _ in range(150)]

        async def live(order: UUID) -> None:
            store = chance.choice((stock.store, stock.another))
            await has_effect(store, reserving(order, dict.fromkeys(chance.sample(names, 2), chance.randint(1, 3))))
            if await stock.status(order) == "RESERVED":
                await has_effect(store, chance.choice((releasing, shipping))(order))

        async def watch(until: asyncio.Event) -> int:
            snapshots = 0
            while not until.is_set():
                for row in await fetch(inventory_database, _SUMS):
                    assert (row["on_hand"], row["reserved"]) == (200 - row["shipped"], row["held"]), dict(row)
                    assert 0 <= row["reserved"] <= row["on_hand"]
                snapshots += 1
            return snapshots

        over = asyncio.Event()
        watching = asyncio.create_task(watch(over))
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*(live(order) for order in orders))
            over.set()
            assert await watching > 3


async def test_a_commit_rings_for_its_messages(inventory_database: str) -> None:
    rung, order_id = list[int](), uuid7()
    async with instance(inventory_database, wake=rung.extend) as stock:
        await stock.write(releasing(order_id))

    assert rung == [shard_of(str(order_id))]


@pytest.mark.parametrize("standing", ["RELEASED", "RESERVED"])
async def test_a_reservation_that_another_instance_makes_at_the_same_moment_is_decided_upon_and_not_overwritten(
    inventory_database: str, standing: str
) -> None:
    order = uuid7()
    made = {
        "RELEASED": "insert into reservations (order_id, status, lines) values ($1, 'RELEASED', '[]')",
        "RESERVED": "with h as (update products set reserved = 2 where id = 'p2') insert into reservations "
        """(order_id, status, lines, currency) values ($1, 'RESERVED', '[{"p": "p2", "q": 2, "u": 100}]', 'EUR')""",
    }
    async with postgres_stock(inventory_database) as stock:
        await stock.add(product("p1"), product("p2"))
        other = await asyncpg.connect(inventory_database)
        transaction = other.transaction()
        await transaction.start()
        await other.execute(made[standing], order)
        mine = asyncio.create_task(
            stock.write(reserving(order, {"p1": 1}) if standing == "RELEASED" else releasing(order))
        )
        await until(partial(waiting_for_locks, inventory_database), "our commit waits for the other's")
        await transaction.commit()
        await other.close()

        assert await mine

        assert await stock.status(order) == "RELEASED"
        assert await stock.answers(order) == ["StockRejected" if standing == "RELEASED" else "StockReleased"]
        await stock.assert_nothing_is_lost(p1=10, p2=10)


async def test_stock_is_decided_upon_as_it_is_when_its_lock_is_ours(inventory_database: str) -> None:
    async with postgres_stock(inventory_database) as stock:
        await stock.add(product("p1", 10))
        other = await asyncpg.connect(inventory_database)
        transaction = other.transaction()
        await transaction.start()
        await other.execute("update products set on_hand = 1 where id = 'p1'")
        order = uuid7()
        mine = asyncio.create_task(stock.write(reserving(order, {"p1": 2})))
        await until(partial(waiting_for_locks, inventory_database), "our commit waits for the other's")
        await transaction.commit()
        await other.close()
        await mine

        assert (await stock.reservations())[order].reason == "product p1: 2 wanted, 1 available"


async def test_a_reservation_is_decided_upon_as_it_is_when_its_lock_is_ours(inventory_database: str) -> None:
    async with postgres_stock(inventory_database) as stock:
        await stock.add(product("p1", 10))
        order = uuid7()
        await stock.write(reserving(order, {"p1": 2}))
        other = await asyncpg.connect(inventory_database)
        transaction = other.transaction()
        await transaction.start()
        await other.execute("update reservations set status = 'SHIPPED'")
        await other.execute("update products set on_hand = 8, reserved = 0")
        mine = asyncio.create_task(stock.write(releasing(order)))
        await until(partial(waiting_for_locks, inventory_database), "our commit waits for the other's")
        await transaction.commit()
        await other.close()

        with pytest.raises(AlreadyShipped):
            await mine
        await stock.assert_nothing_is_lost(p1=10)


async def test_a_product_that_another_instance_adds_at_the_same_moment_is_changed_and_not_overwritten(
    inventory_database: str,
) -> None:
    async with postgres_stock(inventory_database) as stock:
        other = await asyncpg.connect(inventory_database)
        transaction = other.transaction()
        await transaction.start()
        await other.execute("insert into products values ('p1', 100, 'EUR', 10, 4)")
        put = PutProduct(stock.store)
        mine = asyncio.create_task(put(ProductId("p1"), price=Money.of("12.50", "EUR"), on_hand=7))
        await until(partial(waiting_for_locks, inventory_database), "our product waits for the other's")
        await transaction.commit()
        await other.close()

        assert await mine == (product("p1", 7, reserved=4), False)
        assert await stock.stock("p1") == (7, 4)


async def test_a_decision_that_fails_leaves_nothing_behind_and_holds_no_lock(inventory_database: str) -> None:
    def fail(*_: object) -> Decision:
        raise ZeroDivisionError

    async with postgres_stock(inventory_database) as stock:
        await stock.add(product("p1"))
        with pytest.raises(ZeroDivisionError):
            await stock.write(StockWrite(uuid7(), [product("p1").id], fail, InboxClaim(uuid7())))

        assert await fetch(inventory_database, "select from inbox") == []
        assert await fetch(inventory_database, "select from products for update nowait") != []
        assert await stock.write(reserving(uuid7(), {"p1": 1}))


async def test_a_commit_whose_connection_breaks_stores_nothing_and_the_next_one_connects_again(
    inventory_database: str,
) -> None:
    async with postgres_stock(inventory_database) as stock:
        await stock.add(product("p1"))
        holder = await asyncpg.connect(inventory_database)
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("select from products for update")
        write = reserving(uuid7(), {"p1": 1})
        mine = asyncio.create_task(stock.write(write))
        await until(partial(waiting_for_locks, inventory_database), "our commit waits for the lock")
        await holder.execute("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'")
        with pytest.raises(StoreUnavailable):
            await mine
        await transaction.rollback()
        await holder.close()

        assert await fetch(inventory_database, "select from inbox") == []
        assert await stock.write(write)
        await stock.assert_nothing_is_lost(p1=10)


async def test_without_a_database_every_question_says_that_it_is_away() -> None:
    async with open_pools("postgresql://nobody@127.0.0.1:1/none") as pools:
        store = PostgresStock(
            "postgresql://nobody@127.0.0.1:1/none", pools, nobody, connections=1, max_batch=1, max_waiting=9
        )
        asked: list[Awaitable[object]] = [
            has_effect(store, releasing(uuid7())),
            store.find(product("p1").id),
            store.page(after=None, limit=1),
            store.change_product(product("p1").id, lambda _: product("p1")),
        ]

        answers = await asyncio.gather(*asked, return_exceptions=True)
        await store.close()

    assert [type(answer) for answer in answers] == [StoreUnavailable] * 4
