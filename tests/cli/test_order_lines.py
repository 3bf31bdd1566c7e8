"""`oms up` prints a line for each order: who, what, how long. At a high rate it counts most of them."""

import asyncio
from datetime import timedelta
from pathlib import Path

import click
import httpx

from messaging.ports.message import Message
from messaging.ports.record import Record
from oms.order_lines import MOST_A_SECOND, OrderLines
from order_service.domain.fulfilment import Cancel, PaymentCaptured, StockRejected, StockReleased
from order_service.domain.order import Order
from order_service.infrastructure.message_encoding import encode
from tests.cli.commands import oms
from tests.cli.test_commands import IN_MEMORY
from tests.domain.orders import AT, RESERVED, placed_order, reaction
from tests.real_parts.order_process import ORDER, OrderProcess


def records_of(*orders: Order) -> list[Record]:
    """The events of these states of an order, as they are on the topic."""
    messages: list[Message] = [encode(event) for order in orders for event in order.events]
    return [Record(each.topic, 0, 0, each.key, each.headers, each.value) for each in messages]


class Shown:
    """Lines that were shown, at a time that stands still."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.now = 100.0
        self.orders = OrderLines(lambda line: self.lines.append(click.unstyle(line)), lambda: self.now)

    def take(self, *records: Record) -> list[str]:
        for record in records:
            self.orders.take(record)
        return self.lines


def confirmed(customer: str | None = "Käthe") -> list[Record]:
    placed = placed_order(customer_id=customer)
    reserved = reaction(placed, RESERVED).order
    return records_of(placed, reaction(reserved, PaymentCaptured()).order)


def test_a_confirmed_order_has_one_line_with_its_customer_total_and_time() -> None:
    records = confirmed()
    (line,) = Shown().take(*records)

    order_id, customer, outcome, total, took = line.split("  ")[:5]
    assert (order_id, customer, outcome, total) == (records[0].key, "Käthe", "CONFIRMED", "25.00 EUR")
    assert took.startswith("in ")


def test_how_long_counts_from_the_id_of_the_order() -> None:
    placed = placed_order()
    placed_at = AT.fromtimestamp((placed.id.value.int >> 80) / 1000, AT.tzinfo)
    late = placed_at + timedelta(seconds=1.5)
    rejected = reaction(placed, StockRejected("p1 is out of stock"), at=late).order
    (line,) = Shown().take(*records_of(rejected))

    assert line == f"{placed.id}  REJECTED   p1 is out of stock  in 1.50 s"


def test_an_order_that_is_taken_back_later_has_another_line() -> None:
    placed = placed_order()
    cancelling = reaction(placed, Cancel()).order
    cancelled = reaction(cancelling, StockReleased()).order
    lines = Shown().take(*records_of(placed, cancelling, cancelled))

    assert [line.split()[1] for line in lines] == ["CANCELLED"]
    assert "cancelled by the customer" in lines[0]


async def test_a_burst_is_counted_and_the_count_is_shown_although_nothing_follows() -> None:
    shown = Shown()
    for _ in range(MOST_A_SECOND + 3):
        shown.take(*confirmed(None))
    assert len(shown.lines) == MOST_A_SECOND
    async with asyncio.timeout(60):
        while len(shown.lines) == MOST_A_SECOND:
            await asyncio.sleep(0.05)

    assert shown.lines[-1] == "… 3 orders more: 3 CONFIRMED"


async def test_the_next_second_shows_orders_again_after_the_count() -> None:
    shown = Shown()
    for _ in range(MOST_A_SECOND + 2):
        shown.take(*confirmed(None))
    shown.now += 1
    shown.take(*confirmed(None))

    assert shown.lines[MOST_A_SECOND] == "… 2 orders more: 2 CONFIRMED"
    assert "CONFIRMED" in shown.lines[MOST_A_SECOND + 1]
    shown.orders.flush()
    assert len(shown.lines) == MOST_A_SECOND + 2, "nothing is counted twice"


def test_what_is_no_outcome_of_an_order_is_left_out_and_words_of_others_are_data() -> None:
    outcome = {"ce_type": "OrderRejectedEvent"}
    lines = Shown().take(
        Record("order-events", 0, 0, "k", {}, b""),
        Record("order-events", 0, 0, "k", {"ce_type": "OrderCreatedEvent"}, b"\xff"),
        Record("order-events", 0, 0, "k", {"ce_type": "OrderEatenEvent"}, b"{}"),
        Record("order-events", 0, 0, "\x1b[2J", outcome, b'{"reason": "\\u001b]0;evil\\u0007"}'),
        Record("order-events", 0, 0, "k", outcome, b"[1]"),
    )

    assert lines == [r"\x1b[2J  REJECTED   \x1b]0;evil\x07", "k  REJECTED "]


async def test_up_prints_a_line_for_each_order_and_events_if_asked(tmp_path: Path) -> None:
    with OrderProcess(tmp_path, IN_MEMORY, "up") as service:
        async with asyncio.timeout(60), httpx.AsyncClient(base_url=service.url, timeout=60) as client:
            order_id = (await client.post("/orders", json=ORDER | {"customerId": "c1"})).json()["orderId"]
            while f"{order_id}  c1  CONFIRMED  25.00 EUR  in " not in service.log:
                await asyncio.sleep(0.05)
        assert "OrderCreatedEvent" not in service.log
    both = await oms(tmp_path, "up", "--quiet", "--events")

    assert both.code == 2
