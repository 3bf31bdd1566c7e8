"""Each check of a campaign finds what it is there for, and only that."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from chaos.checks import no_promise_is_lost, violations
from chaos.evidence import Evidence, Published
from chaos.history import Call, Operation
from order_service.domain.fulfilment import (
    Complete,
    PaymentCaptured,
    PaymentDeclined,
    StockReleased,
    StockReserved,
)
from order_service.domain.order import Order
from order_service.domain.order_status import OrderStatus
from shared_kernel.money import Money
from shared_kernel.product import ProductId
from tests.domain.orders import led, line, placed_order, reaction

PRICED = StockReserved({ProductId("r1-p1"): Money.of("12.50", "EUR")})
KEY = "r1-1-abc"


def _completed() -> tuple[Order, list[Published]]:
    """An order of two r1-p1 that was confirmed and completed, and its events."""
    order = placed_order(line("r1-p1", 2))
    events = list(order.events)
    for happening in (PRICED, PaymentCaptured(), Complete()):
        order = reaction(order, happening).order
        events += order.events
    published = [
        Published("order-events", str(order.id), str(event.event_id), type(event).__name__, event.order_version)
        for event in events
    ]
    return order, published


@pytest.fixture
def kept() -> Evidence:
    """A round of one order, in which everything agrees."""
    order, published = _completed()
    order_id = str(order.id)

    def call(operation: Operation, at: float, status: int, version: int, seen: OrderStatus) -> Call:
        return Call(0, operation, KEY, at, at + 0.5, status, order_id, version, seen.value)

    return Evidence(
        calls=[
            call(Operation.PLACE, 1, 201, 1, OrderStatus.PENDING),
            call(Operation.READ, 2, 200, 2, OrderStatus.PENDING),
            call(Operation.PLACE, 3, 201, 1, OrderStatus.PENDING),
            call(Operation.COMPLETE, 4, 200, 4, OrderStatus.COMPLETED),
        ],
        orders={order_id: order},
        keys={order_id: KEY},
        products=[{"id": "r1-p1", "on_hand": 999_998, "reserved": 0}],
        reservations={order_id: "SHIPPED"},
        payments={order_id: {"status": "CAPTURED", "amount_minor": 2500}},
        waiting=0,
        dead=0,
        unknown=0,
        published=published,
        repeated=[],
        balances={UUID(order_id): Decimal("25.00")},
    )


def test_nothing_is_wrong_when_everything_agrees(kept: Evidence) -> None:
    assert violations(kept) == []


def test_a_cancel_on_the_way_back_from_a_declined_payment_is_kept_by_a_rejection(kept: Evidence) -> None:
    declined = led(placed_order(line("r1-p1")), PRICED, PaymentDeclined("no cover"))
    rejected = led(declined, StockReleased())
    order_id, told = str(declined.id), (declined.version, declined.status.value)
    cancel = Call(0, Operation.CANCEL, KEY, 1.0, 1.5, 202, order_id, *told)

    assert list(no_promise_is_lost(replace(kept, calls=[cancel], orders={order_id: rejected}))) == []


def _only(kept: Evidence) -> Order:
    return next(iter(kept.orders.values()))


def _with_order(kept: Evidence, **changed: Any) -> Evidence:
    order = _only(kept)
    return replace(kept, orders={str(order.id): replace(order, **changed)})


def _with_call(kept: Evidence, **changed: Any) -> Evidence:
    """The last call is another one."""
    return replace(kept, calls=[*kept.calls[:-1], replace(kept.calls[-1], **changed)])


READ_BACKWARDS = {"operation": Operation.READ, "version": 1, "status": "PENDING"}
BROKEN: dict[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "an order that waits": (
        lambda kept: replace(kept, orders={str(_only(kept).id): placed_order(line("r1-p1"))}),
        "is still PENDING",
    ),
    "a message that waits": (lambda kept: replace(kept, waiting=2), "2 messages are still in an outbox or parked"),
    "a dead letter": (lambda kept: replace(kept, dead=1), "1 dead letters"),
    "an order that its service does not know": (lambda kept: replace(kept, unknown=1), "1 orders are unknown"),
    "a 201 without an order": (lambda kept: replace(kept, orders={}), "was answered 201, but"),
    "a cancel that was forgotten": (
        lambda kept: _with_call(kept, operation=Operation.CANCEL, http_status=202),
        "cancel of",
    ),
    "two answers to one key": (lambda kept: _with_call(kept, operation=Operation.PLACE, order_id="x"), "made 2 orders"),
    "two orders of one key": (lambda kept: replace(kept, keys=dict(kept.keys) | {"x": KEY}), "made 2 orders"),
    "a read that goes back": (lambda kept: _with_call(kept, **READ_BACKWARDS), "saw version 1 after version 2"),
    "a version that never was": (lambda kept: _with_call(kept, version=5), "version 5 of"),
    "a status that never was": (lambda kept: _with_call(kept, status="CANCELLED"), "was seen CANCELLED, but it is"),
    "a version too many": (lambda kept: _with_order(kept, version=5), "is at version 5"),
    "a transition that does not exist": (
        lambda kept: _with_order(kept, timeline=tuple(reversed(_only(kept).timeline))),
        "went from",
    ),
    "an event that is missing": (lambda kept: replace(kept, published=kept.published[:-1]), "the events of"),
    "events in another order": (lambda kept: replace(kept, published=kept.published[::-1]), "the events of"),
    "an event twice": (lambda kept: replace(kept, repeated=kept.published[:1]), "twice"),
    "an event of no order": (
        lambda kept: replace(kept, published=[*kept.published, replace(kept.published[0], order_id=str(uuid7()))]),
        "which is not there",
    ),
    "stock that is still reserved": (
        lambda kept: replace(kept, products=[{"id": "r1-p1", "on_hand": 999_998, "reserved": 2}]),
        "2 reserved",
    ),
    "stock that did not leave": (
        lambda kept: replace(kept, products=[{"id": "r1-p1", "on_hand": 1_000_000, "reserved": 0}]),
        "1000000 on hand",
    ),
    "a reservation of no order": (
        lambda kept: replace(kept, reservations={str(uuid7()): "RESERVED"}),
        "stock held, there is no such order",
    ),
    "a payment that is missing": (lambda kept: replace(kept, payments={}), "has captured 0"),
    "money that the gateway has not": (lambda kept: replace(kept, balances={}), "the gateway has 0"),
    "money of no order": (
        lambda kept: replace(kept, balances=dict(kept.balances) | {uuid7(): Decimal("1.00")}),
        "the gateway has 100; there is no such order",
    ),
    "an order of another cell": (
        lambda kept: replace(kept, cell=0x1000 - (UUID(next(iter(kept.orders))).int & 0xFFF)),
        "its id tells another one",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_check_finds(what: str, kept: Evidence) -> None:
    breaks, sentence = BROKEN[what]

    found = violations(breaks(kept))

    assert any(sentence in violation for violation in found), f"{what} was not found, only {found}"
