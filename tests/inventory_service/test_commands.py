"""Commands as they come off the topic: what they do, and what becomes of those that nobody can follow."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from uuid_utils.compat import uuid4, uuid7

from inventory_service.application import ReleaseStock, ReserveStock, ShipStock
from inventory_service.infrastructure.command_handling import subscriptions
from messaging.engine.consumer import Consumer
from messaging.memory.failures import MemoryFailures
from messaging.ports.record import Record
from messaging.postgres.failures import PostgresFailures
from messaging.postgres.pool import open_pool
from tests.inventory_service.commands import items, message, record
from tests.inventory_service.conftest import StockUnderTest
from tests.inventory_service.stock import product
from tests.real_parts.waiting import DEADLINE

ODD = ["\U0001fadd", "\u200b", ".", "..", "\U000e0fff", "x" * 65, "a\nb"]
"""Names that another release, or another Python, may have let an order have."""


@dataclass(frozen=True, slots=True)
class Commands:
    """The service's consumer on a store, and its dead letters."""

    stock: StockUnderTest
    consumer: Consumer
    failures: PostgresFailures | MemoryFailures

    async def come(self, *records: Record) -> None:
        """Deliver a batch."""
        async with asyncio.timeout(DEADLINE):
            await self.consumer.handle(records)

    async def dead_letters(self) -> list[tuple[Record, str]]:
        """Every dead letter and its error."""
        if isinstance(self.failures, MemoryFailures):
            return [(failure.record, failure.error) for failure in self.failures.dead]
        return [(kept.record, kept.error) for kept in await self.failures.dead_letters()]


@pytest_asyncio.fixture
async def commands(stock: StockUnderTest, inventory_database_url: str) -> AsyncIterator[Commands]:
    """Wired as the service is, with the product p1 and p2 in the catalogue."""

    def now() -> datetime:
        return datetime.now(UTC)

    await stock.add(product("p1", 10), product("p2", 5, price="3.99"))
    handled = subscriptions(
        ReserveStock(stock.store, now, uuid7), ReleaseStock(stock.store, now, uuid7), ShipStock(stock.store)
    )
    if inventory_database_url == "memory":
        memory = MemoryFailures()
        yield Commands(stock, Consumer("inventory", handled, memory), memory)
        return
    async with open_pool(inventory_database_url) as pool:
        failures = PostgresFailures(pool)
        yield Commands(stock, Consumer("inventory", handled, failures), failures)


async def test_an_order_is_reserved_with_its_items_summed_by_product(commands: Commands) -> None:
    order = uuid7()

    await commands.come(record(message("ReserveStock", order, items=items(("p1", 2), ("p2", 1), ("p1", 3)))))

    lines = (await commands.stock.reservations())[order].lines
    assert [(line.product_id.value, line.quantity) for line in lines] == [("p1", 5), ("p2", 1)]
    assert await commands.stock.stock("p1") == (10, 5)
    assert await commands.stock.answers(order) == ["StockReserved"]


async def test_items_of_one_product_that_are_too_many_together_are_rejected(commands: Commands) -> None:
    order = uuid7()

    await commands.come(record(message("ReserveStock", order, items=items(("p1", 6), ("p1", 5)))))

    assert (await commands.stock.reservations())[order].reason == "product p1: 11 wanted, 10 available"
    assert await commands.stock.answers(order) == ["StockRejected"]


async def test_the_commands_of_an_order_are_followed_in_their_order(commands: Commands) -> None:
    kept, given_back, never = uuid7(), uuid7(), uuid7()

    await commands.come(
        record(message("ReserveStock", kept, items=items(("p1", 2)))),
        record(message("ReserveStock", given_back, items=items(("p1", 3)))),
        record(message("ReleaseStock", never)),
        record(message("ShipStock", kept)),
        record(message("ReleaseStock", given_back)),
        record(message("ReserveStock", never, items=items(("p1", 1)))),
    )

    assert await commands.stock.stock("p1") == (8, 0)
    assert await commands.stock.answers(kept) == ["StockReserved"]
    assert await commands.stock.answers(given_back) == ["StockReserved", "StockReleased"]
    assert await commands.stock.answers(never) == ["StockReleased", "StockRejected"]
    assert await commands.dead_letters() == []


async def test_a_topic_that_is_read_again_from_its_beginning_changes_nothing(commands: Commands) -> None:
    orders = [uuid7() for _ in range(10)]
    topic = [record(message("ReserveStock", order, items=items(("p1", 1), ("p2", 1)))) for order in orders]
    topic += [record(message("ReleaseStock", order)) for order in orders[:3]]
    topic += [record(message("ShipStock", order)) for order in orders[:5]]
    await commands.come(*topic)
    before = [await commands.stock.stock("p1"), await commands.stock.reservations(), await commands.stock.messages()]
    dead = await commands.dead_letters()

    await commands.come(*topic)

    after = [await commands.stock.stock("p1"), await commands.stock.reservations(), await commands.stock.messages()]
    assert after == before
    assert await commands.dead_letters() == dead


async def test_fields_that_are_added_later_hurt_nobody(commands: Commands) -> None:
    order = uuid7()
    wanted = [{"productId": "p1", "quantity": 2, "giftWrap": True}]

    await commands.come(record(message("ReserveStock", order, items=wanted, priority={"level": 1})))

    assert await commands.stock.status(order) == "RESERVED"


@pytest.mark.parametrize("name", ODD, ids=ascii)
async def test_a_product_that_nobody_could_name_today_is_not_in_the_catalogue_and_no_dead_letter(
    commands: Commands, name: str
) -> None:
    order = uuid7()

    await commands.come(record(message("ReserveStock", order, items=items((name, 1)))))

    assert await commands.dead_letters() == []
    assert await commands.stock.messages() == [(str(order), "StockRejected")]


def _spoiled(**changes: Any) -> Record:
    """A ReserveStock with other data, and fields of its envelope changed; a field that is None is missing."""
    sent = message("ReserveStock", uuid7(), items=items(("p1", 1)))
    value = json.loads(sent.value) | changes
    return record(sent, value=json.dumps({name: held for name, held in value.items() if held is not None}).encode())


def _sent() -> Any:
    return message("ReserveStock", uuid7(), items=items(("p1", 1)))


HOPELESS: list[tuple[str, Record, str]] = [
    ("no JSON", record(_sent(), value=b"\x00\xff garbage"), "Invalid JSON"),
    ("no value", record(_sent(), value=b""), "Invalid JSON"),
    ("JSON that is no object", record(_sent(), value=b"[]"), "should be an object"),
    ("no headers", record(_sent(), headers=dict.fromkeys(_sent().headers)), "it has no header ce_type"),
    ("no type", record(_sent(), headers={"ce_type": None}), "it has no header ce_type"),
    ("no event id", record(_sent(), headers={"ce_id": None}), "it has no header ce_id"),
    ("an event id that is none", record(_sent(), headers={"ce_id": "7"}), "ce_id must be a UUID"),
    ("an unknown type", record(message("PaintStock", uuid7())), "nobody here knows the type 'PaintStock'"),
    ("another order's key", record(_sent(), key=str(uuid7())), "another order or event"),
    ("no key", record(_sent(), key=""), "another order or event"),
    ("another event's id", record(_sent(), headers={"ce_id": str(uuid7())}), "another order or event"),
    ("a version to come", record(message("ReserveStock", uuid7(), version=2, items=items(("p1", 1)))), "version 2"),
    ("no order id", _spoiled(orderId=None), "orderId"),
    ("no items", _spoiled(items=None), "items"),
    ("empty items", _spoiled(items=[]), "items"),
    ("items of a wrong type", _spoiled(items="p1"), "items"),
    ("an item without a product", _spoiled(items=[{"quantity": 1}]), "items.0.productId"),
    ("a product that is a number", _spoiled(items=[{"productId": 1, "quantity": 1}]), "items.0.productId"),
    ("a product id that cannot be", _spoiled(items=items(("p\0", 1))), "NUL"),
    ("a quantity of none", _spoiled(items=items(("p1", 0))), "items.0.quantity"),
    ("a quantity past the limit", _spoiled(items=items(("p1", 10_001))), "items.0.quantity"),
    ("a quantity that is text", _spoiled(items=[{"productId": "p1", "quantity": "1"}]), "items.0.quantity"),
    ("a quantity that is a fraction", _spoiled(items=[{"productId": "p1", "quantity": 1.5}]), "items.0.quantity"),
]


async def test_what_can_never_be_followed_is_a_dead_letter_and_the_others_go_on(commands: Commands) -> None:
    neighbours = [uuid7() for _ in HOPELESS]
    delivered: list[Record] = []
    for order, (_, hopeless, _) in zip(neighbours, HOPELESS, strict=True):
        delivered += [hopeless, record(message("ReserveStock", order, items=items(("p1", 1))))]
    await commands.stock.add(product("p1", 100))

    await commands.come(*delivered)

    dead = {letter.offset: (letter.value, sentence) for letter, sentence in await commands.dead_letters()}
    said = {name: dead.get(hopeless.offset, (b"", "it is no dead letter")) for name, hopeless, _ in HOPELESS}
    assert {name: said[name] for name, _, error in HOPELESS if error not in said[name][1]} == {}
    assert {name: value for name, (value, _) in said.items()} == {name: letter.value for name, letter, _ in HOPELESS}
    assert sorted(await commands.stock.messages()) == sorted((str(order), "StockReserved") for order in neighbours)
    await commands.stock.assert_nothing_is_lost(p1=100, p2=5)


async def test_a_command_that_its_order_cannot_follow_is_a_dead_letter_and_its_neighbours_are_followed(
    commands: Commands,
) -> None:
    shipped, unknown = uuid7(), uuid4()
    others = [uuid7() for _ in range(8)]
    await commands.come(
        record(message("ReserveStock", shipped, items=items(("p1", 1)))), record(message("ShipStock", shipped))
    )

    await commands.come(
        *(record(message("ReserveStock", order, items=items(("p1", 1)))) for order in others),
        record(message("ReleaseStock", shipped)),
        record(message("ShipStock", unknown)),
    )

    assert sorted(sentence for _, sentence in await commands.dead_letters()) == [
        f"order {unknown} has no stock to ship: nothing was ever reserved for it",
        f"the stock of order {shipped} has been shipped, so it cannot be released",
    ]
    assert [await commands.stock.answers(order) for order in others] == [["StockReserved"]] * 8
    await commands.stock.assert_nothing_is_lost(p1=10, p2=5)
