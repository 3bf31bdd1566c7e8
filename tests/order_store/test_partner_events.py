"""The partners' answers as they come off the topics: what they do to orders, and what becomes of those that nobody can
make sense of. There are three places for a record: handled, parked, or in the dead letters."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from uuid_utils.compat import uuid4, uuid7

from messaging.engine.consumer import Consumer
from messaging.memory.failures import MemoryFailures
from messaging.ports.failures import Failure
from messaging.ports.message import cloud_event
from messaging.ports.record import Record
from messaging.postgres.failures import PostgresFailures
from messaging.postgres.pool import open_pool
from order_service.application.fulfil_order import FulfilOrder
from order_service.application.unknown_orders import UnknownOrders
from order_service.domain.fulfilment import Cancel
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import OrderStatus, PaymentStatus, StockStatus
from order_service.infrastructure.partner_events import partner_subscriptions
from shared_kernel.reason import MAX_REASON, NO_REASON
from tests.domain.orders import LATER, RESERVED, led, line, moment, placed_order, stored
from tests.order_store.conftest import StoreUnderTest
from tests.real_parts.waiting import DEADLINE

PRICES = {"items": [{"productId": "p1", "quantity": 2, "unitPrice": {"amount": "12.50", "currency": "EUR"}}]}
RESERVED_DATA = PRICES | {"total": {"amount": "25.00", "currency": "EUR"}}
_offsets = itertools.count(100)


@dataclass(frozen=True, slots=True)
class Partners:
    """The order service's consumer, on a store."""

    store: StoreUnderTest
    consumer: Consumer
    failures: MemoryFailures | PostgresFailures

    async def say(self, *records: Record) -> None:
        """Deliver a batch."""
        async with asyncio.timeout(DEADLINE):
            await self.consumer.handle(records)

    async def order(self, order: Order) -> Order:
        """The order as it stands now."""
        found = await self.store.orders.find(order.id)
        assert found is not None
        return found

    async def dead(self) -> list[Failure]:
        """The dead letters."""
        if isinstance(self.failures, MemoryFailures):
            return self.failures.dead
        return [Failure(kept.record, kept.error, kept.attempts) for kept in await self.failures.dead_letters()]

    async def counts(self) -> tuple[int, int]:
        """How many records are parked, and how many are dead."""
        parked, _, dead = await self.failures.counts()
        return parked, dead


@pytest_asyncio.fixture
async def partners(store: StoreUnderTest, store_dsn: str | None) -> AsyncIterator[Partners]:
    """Wired as the service is."""
    subscriptions = partner_subscriptions(FulfilOrder(store.orders, moment), UnknownOrders(store.unknown, moment))
    if store_dsn is None:
        memory = MemoryFailures()
        yield Partners(store, Consumer("order", subscriptions, memory), memory)
        return
    async with open_pool(store_dsn) as pool:
        failures = PostgresFailures(pool)
        yield Partners(store, Consumer("order", subscriptions, failures), failures)


def answer(order: Order, kind: str, data: Mapping[str, Any] | None = None, *, version: int = 1) -> Record:
    """What a partner says of an order, as it is delivered."""
    partner = "inventory" if kind.startswith("Stock") else "payment"
    message = cloud_event(
        event_id=uuid7(),
        event_type=kind,
        event_version=version,
        occurred_at=LATER,
        source=f"/{partner}-service",
        topic=f"{partner}-events",
        order_id=order.id.value,
        data=data or {},
    )
    return Record(message.topic, 3, next(_offsets), message.key, message.headers, message.value)


def reserved(order: Order, data: Mapping[str, Any] = RESERVED_DATA) -> Record:
    """The inventory holds the order's stock."""
    return answer(order, "StockReserved", data)


def with_headers(record: Record, **headers: str | None) -> Record:
    """The record with other headers; None takes one away."""
    changed = {**record.headers, **headers}
    return replace(record, headers={name: value for name, value in changed.items() if value is not None})


def with_value(record: Record, **fields: Any) -> Record:
    """The record with other fields in its value; None takes one away."""
    changed = json.loads(record.value) | fields
    return replace(
        record, value=json.dumps({name: field for name, field in changed.items() if field is not None}).encode()
    )


def _priced(amount: Any, currency: Any = "EUR", product: str = "p1") -> dict[str, Any]:
    return {"items": [{"productId": product, "quantity": 2, "unitPrice": {"amount": amount, "currency": currency}}]}


SPOILT: Mapping[str, Callable[[Order], Record]] = {
    "garbage": lambda order: replace(reserved(order), value=b"\x00\xff garbage"),
    "nothing at all": lambda order: replace(reserved(order), value=b""),
    "a list": lambda order: replace(reserved(order), value=b"[]"),
    "half of it": lambda order: replace(reserved(order), value=reserved(order).value[:-20]),
    "no type": lambda order: with_headers(reserved(order), ce_type=None),
    "no id": lambda order: with_headers(reserved(order), ce_id=None),
    "an id that is none": lambda order: with_headers(reserved(order), ce_id="1"),
    "another event's id": lambda order: with_headers(reserved(order), ce_id=str(uuid7())),
    "an unknown type of a stranger": lambda order: with_headers(reserved(order), ce_type="StockSold", ce_source="/x"),
    "an unknown type of nobody": lambda order: with_headers(reserved(order), ce_type="StockSold", ce_source=None),
    "a type of the other topic": lambda order: replace(answer(order, "PaymentCaptured"), topic="inventory-events"),
    "a newer version": lambda order: answer(order, "StockReserved", RESERVED_DATA, version=2),
    "no event id": lambda order: with_value(reserved(order), eventId=None),
    "no order id": lambda order: with_value(reserved(order), orderId=None),
    "no version": lambda order: with_value(reserved(order), eventVersion=None),
    "no time": lambda order: with_value(reserved(order), occurredAt=None),
    "no items": lambda order: with_value(reserved(order), items=None),
    "items of another type": lambda order: reserved(order, {"items": "p1"}),
    "an item without its price": lambda order: reserved(order, {"items": [{"productId": "p1", "quantity": 2}]}),
    "a price that is a number": lambda order: reserved(order, _priced(12.5)),
    "a price that is no number": lambda order: reserved(order, _priced("a lot")),
    "a price with too many digits": lambda order: reserved(order, _priced("12.505")),
    "a price below nothing": lambda order: reserved(order, _priced("-1.00")),
    "a price beyond all stores": lambda order: reserved(order, _priced("9" * 30)),
    "a price with an exponent": lambda order: reserved(order, _priced("1E+999999999")),
    "a currency that is none": lambda order: reserved(order, _priced("1.00", "euro")),
    "a product without a name": lambda order: reserved(order, _priced("1.00", product="")),
    "no price of what was ordered": lambda order: reserved(order, _priced("1.00", product="p2")),
    "another order's key": lambda order: replace(reserved(placed_order()), key=str(order.id)),
    "a key that is no order's": lambda order: replace(reserved(order), key="order"),
    "an order that was never placed": lambda _: reserved(placed_order()),
    "an order id of another kind": lambda order: reserved(_of_another_kind(order)),
}


def _of_another_kind(order: Order) -> Order:
    order_id = OrderId(uuid7())
    object.__setattr__(order_id, "value", uuid4())
    return replace(order, id=order_id)


@pytest.mark.parametrize("store_dsn", [None], ids=["memory"])
@pytest.mark.parametrize("how", SPOILT)
async def test_what_makes_no_sense_is_a_dead_letter_with_its_coordinates_and_its_neighbours_are_handled(
    partners: Partners, how: str
) -> None:
    spoilt_order, neighbour = [await partners.store.created(placed_order()) for _ in range(2)]
    spoilt = SPOILT[how](spoilt_order)

    await partners.say(reserved(neighbour), spoilt, answer(neighbour, "PaymentCaptured"), reserved(spoilt_order))

    letters = await partners.dead()
    assert [letter.record for letter in letters] == [spoilt]
    assert letters[0].error
    assert letters[0].attempts == 1, "what can never be handled is not tried again"
    assert await partners.counts() == (0, 1)
    assert (await partners.order(neighbour)).status is OrderStatus.CONFIRMED
    assert (await partners.order(spoilt_order)).stock is StockStatus.RESERVED, "what comes behind it is handled"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("sold\x00out", "sold out"),
        ("", NO_REASON),
        (" \n\t", NO_REASON),
        ("\u200b\u202e", NO_REASON),
        ("out of 🧀", "out of 🧀"),
        ("x" * 5000, "x" * MAX_REASON),
        ("cut \ud83d", "cut"),
        ("\udc00", NO_REASON),
        (None, NO_REASON),
        (7, NO_REASON),
        (True, NO_REASON),
        ({}, NO_REASON),
        (["no", "cover"], NO_REASON),
    ],
    ids=lambda reason: ascii(reason)[:20],
)
async def test_a_blank_or_odd_reason_is_no_dead_letter(partners: Partners, given: object, kept: str) -> None:
    sold_out, declined = [await partners.store.created(placed_order()) for _ in range(2)]

    await partners.say(_with_reason(answer(sold_out, "StockRejected"), given), reserved(declined))
    await partners.say(_with_reason(answer(declined, "PaymentDeclined"), given), answer(declined, "StockReleased"))

    assert await partners.counts() == (0, 0)
    for order in (await partners.order(sold_out), await partners.order(declined)):
        assert (order.status, order.reason) == (OrderStatus.REJECTED, kept)


async def test_neither_is_a_missing_one(partners: Partners) -> None:
    order = await partners.store.created(placed_order())

    await partners.say(answer(order, "StockRejected"))

    assert await partners.counts() == (0, 0)
    assert (await partners.order(order)).reason == NO_REASON


def _with_reason(record: Record, reason: object) -> Record:
    return replace(record, value=json.dumps(json.loads(record.value) | {"reason": reason}).encode())


async def test_a_batch_of_nothing_but_spoilt_records_and_good_ones_is_told_apart(partners: Partners) -> None:
    orders = {how: await partners.store.created(placed_order()) for how in SPOILT}
    spoilt = {how: SPOILT[how](order) for how, order in orders.items()}

    await partners.say(*(record for how, order in orders.items() for record in (spoilt[how], reserved(order))))

    letters = {letter.record.offset: letter.record for letter in await partners.dead()}
    assert letters == {record.offset: record for record in spoilt.values()}
    assert await partners.counts() == (0, len(SPOILT))
    assert {(await partners.order(order)).stock for order in orders.values()} == {StockStatus.RESERVED}


async def test_dead_letters_say_what_is_wrong(partners: Partners) -> None:
    order = await partners.store.created(placed_order())
    for how in ("garbage", "no type", "an unknown type of a stranger", "no items", "an order that was never placed"):
        await partners.say(SPOILT[how](order))

    garbage, no_type, unknown, no_items, no_order = [letter.error for letter in await partners.dead()]
    assert "JSON" in garbage
    assert no_type == "it has no header ce_type"
    assert unknown == "nobody here knows the type 'StockSold'"
    assert no_items == "items: Field required"
    assert no_order.startswith("there is no order ")


async def test_an_answer_about_an_order_that_is_not_there_is_compensated_listed_and_a_dead_letter(
    partners: Partners,
) -> None:
    lost, rejected = placed_order(), placed_order()
    about_lost = [reserved(lost), answer(lost, "PaymentCaptured")]

    await partners.say(*about_lost, answer(rejected, "StockRejected", {"reason": "none left"}))

    undo = [(str(lost.id), "RefundPayment"), (str(lost.id), "ReleaseStock")]
    assert await partners.store.messages() == undo * 2
    listed = {order.id: (order.last_answer, order.answers) for order in await partners.store.unknown.newest(10)}
    assert listed == {lost.id.value: ("PaymentCaptured", 2), rejected.id.value: ("StockRejected", 1)}
    assert await partners.store.unknown.count() == 2
    assert sorted(letter.error for letter in await partners.dead()) == sorted(
        f"there is no order {order.id}; what was done for it is taken back" for order in (lost, lost, rejected)
    )

    await partners.say(*about_lost, answer(lost, "StockReleased"), answer(lost, "PaymentRefunded"))

    assert await partners.store.messages() == undo * 2, "compensated once, and the answers to that end it"
    assert await partners.counts() == (0, 3)


async def test_a_type_that_a_partner_has_added_since_is_ignored(partners: Partners) -> None:
    order = await partners.store.created(placed_order())

    await partners.say(answer(order, "StockCounted"), answer(order, "PaymentDisputed"), reserved(order))

    assert await partners.counts() == (0, 0)
    assert (await partners.order(order)).stock is StockStatus.RESERVED


async def test_fields_that_a_partner_has_added_since_are_ignored(partners: Partners) -> None:
    order = await partners.store.created(placed_order())
    (item,) = PRICES["items"]

    await partners.say(reserved(order, {"items": [item | {"warehouse": 7}], "carrier": {"name": "x"}}))

    assert (await partners.order(order)).stock is StockStatus.RESERVED


@pytest.mark.parametrize(
    ("answers", "status", "stock", "payment"),
    [
        (["StockReserved"], "PENDING", "RESERVED", "REQUESTED"),
        (["StockReserved", "PaymentCaptured"], "CONFIRMED", "RESERVED", "CAPTURED"),
        (["StockRejected"], "REJECTED", "REJECTED", None),
        (["StockReserved", "PaymentDeclined"], "PENDING", "RELEASING", "DECLINED"),
        (["StockReserved", "PaymentDeclined", "StockReleased"], "REJECTED", "RELEASED", "DECLINED"),
    ],
)
async def test_answers_lead_an_order_on(
    partners: Partners, answers: list[str], status: str, stock: str, payment: str | None
) -> None:
    order = await partners.store.created(placed_order())
    reason = {"reason": "no"}
    data: dict[str, dict[str, Any]] = {
        "StockReserved": RESERVED_DATA,
        "StockRejected": reason,
        "PaymentDeclined": reason,
    }

    await partners.say(*(answer(order, kind, data.get(kind)) for kind in answers))

    now = await partners.order(order)
    assert (now.status, now.stock, now.payment) == (status, stock, payment)


async def test_the_prices_of_a_reservation_are_the_orders(partners: Partners) -> None:
    order = await partners.store.created(placed_order(line("p1", 2), line("p1", 1)))

    await partners.say(reserved(order))

    now = await partners.order(order)
    assert now.total is not None
    assert (now.total.amount, now.total.currency) == ("37.50", "EUR")
    assert [each.unit_price.amount for each in now.lines if each.unit_price] == ["12.50", "12.50"]


async def test_a_cancelled_order_is_settled_by_both_answers_in_any_order(partners: Partners) -> None:
    for kinds in itertools.permutations(["StockReleased", "PaymentRefunded"]):
        order = await partners.store.created(placed_order())
        await partners.store.update(led(stored(order), RESERVED, Cancel()))

        await partners.say(*(answer(order, kind, {"amount": None}) for kind in kinds))

        now = await partners.order(order)
        assert (now.status, now.payment) == (OrderStatus.CANCELLED, PaymentStatus.REFUNDED)


async def test_everything_delivered_twice_has_its_effect_once(partners: Partners) -> None:
    orders = [await partners.store.created(placed_order()) for _ in range(10)]
    records = [each for order in orders for each in (reserved(order), answer(order, "PaymentCaptured"))]

    await partners.say(*records, *records)
    before = await partners.store.messages()
    await partners.say(*records)

    assert {(await partners.order(order)).version for order in orders} == {3}
    assert await partners.store.messages() == before
    assert sorted({kind for _, kind in before}) == ["ChargePayment", "OrderConfirmedEvent", "OrderCreatedEvent"]
    assert len(before) == 3 * len(orders)
    assert await partners.counts() == (0, 0)
