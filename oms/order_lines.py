"""Orders as readable lines: who, what, and how long it took. At a high rate most orders are only counted."""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import typer
from pydantic_core import from_json

from messaging.ports.record import Record
from oms.output import printable

TOPIC = "order-events"
MOST_A_SECOND = 20
_CREATED = "OrderCreatedEvent"
_COLOURS = {"CONFIRMED": "green", "COMPLETED": "green", "REJECTED": "yellow", "CANCELLED": "yellow"}
_OUTCOMES = {f"Order{status.capitalize()}Event": status for status in _COLOURS}
_MOST_CUSTOMERS = 10_000


class OrderLines:
    """Takes the records of `order-events`, and shows a line for each order when it is settled.

    An order that is completed or cancelled after that has another line. Each second has twenty lines, and then the
    number of the other orders.
    """

    def __init__(self, show: Callable[[str], None], seconds: Callable[[], float] = time.monotonic) -> None:
        self._show = show
        self._seconds = seconds
        self._customers: OrderedDict[str, str] = OrderedDict()
        self._ends = 0.0
        self._shown = 0
        self._others: Counter[str] = Counter()

    def take(self, record: Record) -> None:
        """Show the outcome that an event tells of. Other records, and those that cannot be read, are left out."""
        event_type = record.headers.get("ce_type", "")
        if event_type == _CREATED:
            self._remember(record)
        elif outcome := _OUTCOMES.get(event_type):
            self._count(outcome, record)

    def flush(self) -> None:
        """Show how many orders were only counted."""
        if self._others:
            counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self._others.items()))
            self._show(typer.style(f"… {self._others.total()} orders more: {counts}", dim=True))
            self._others.clear()

    def _remember(self, record: Record) -> None:
        customer = _body(record).get("customerId")
        if isinstance(customer, str):
            self._customers[record.key] = customer
            if len(self._customers) > _MOST_CUSTOMERS:
                self._customers.popitem(last=False)

    def _count(self, outcome: str, record: Record) -> None:
        now = self._seconds()
        if now >= self._ends:
            self.flush()
            self._ends, self._shown = now + 1, 0
        customer = self._customers.pop(record.key, None)
        if self._shown < MOST_A_SECOND:
            self._shown += 1
            self._show(_line(outcome, record, customer))
            return
        if not self._others:  # the last second of a burst has no next order that would show its count
            asyncio.get_running_loop().call_later(1, self.flush)
        self._others[outcome] += 1


def _line(outcome: str, record: Record, customer: str | None) -> str:
    body = _body(record)
    what = typer.style(f"{outcome:9}", fg=_COLOURS[outcome], bold=True)
    words = [record.key, *([customer] if customer is not None else []), what, *_told(body), *_took(record.key, body)]
    return "  ".join(word if word is what else printable(word) for word in words)


def _told(body: dict[str, Any]) -> Sequence[str]:
    """The total of a confirmed order, or the reason of another."""
    match body:
        case {"total": {"amount": amount, "currency": currency}}:
            return [f"{amount} {currency}"]
        case {"reason": str(reason)}:
            return [reason]
        case _:
            return []


def _took(key: str, body: dict[str, Any]) -> Sequence[str]:
    """The time since the order was placed, which its id begins with."""
    try:
        placed = datetime.fromtimestamp((UUID(key).int >> 80) / 1000, UTC)
        took = datetime.fromisoformat(body["occurredAt"]) - placed
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return []
    return [f"in {max(took, timedelta()).total_seconds():.2f} s"]


def _body(record: Record) -> dict[str, Any]:
    try:
        body = from_json(record.value)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
