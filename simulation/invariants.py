"""What must be true after every single commit. The checks of the chaos campaign look at the end of a history."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from inventory_service.domain import ReservationStatus
from order_service.domain.fulfilment import NO_PAYMENT_IN_TIME, NO_STOCK_IN_TIME
from order_service.domain.order import Order
from order_service.domain.order_status import TRANSITIONS, OrderStatus
from simulation.postgres.stores import Database


@dataclass(slots=True)
class Watch:
    """Looks at the committed state of a service after each of its commits. `broken` has what was wrong first.

    `_since` has the newest version of each order, and when it was committed. `_deadlines` has the deadline that the
    order had then.
    """

    commits: int = 0
    broken: list[str] = field(default_factory=list)
    _since: dict[UUID, tuple[int, float]] = field(default_factory=dict)
    _deadlines: dict[UUID, datetime | None] = field(default_factory=dict)

    def __call__(self, database: Database) -> None:
        """A commit."""
        self.commits += 1
        if self.broken:
            return
        match database.service:
            case "order":
                self.broken += self._orders(database)
            case "inventory":
                self.broken += _stock(database.store)

    def waiting_since(self, orders: Any, moment: float) -> list[str]:
        """Orders that have waited in one step since then. A deadline would have taken them back."""
        return [
            f"order {order_id} is {order.status} and waits for an answer since {self._since[order_id][1]:.0f} s"
            for order_id, order in orders._rows.rows.items()
            if order.status is OrderStatus.PENDING and self._since[order_id][1] < moment
        ]

    def _orders(self, database: Database) -> Iterator[str]:
        """Each change leads to the next version, by a transition that exists, and not before its time."""
        now, store = database.loop.time(), database.store
        for order_id, order in store._rows.rows.items():
            version, _ = self._since.get(order_id, (0, now))
            if order.version != version:
                yield from _change(order, version, self._deadlines.get(order_id), store._clock())
                self._since[order_id] = order.version, now
                self._deadlines[order_id] = store._deadlines.get(order_id)


def _change(order: Order, version: int, deadline: datetime | None, now: datetime) -> Iterator[str]:
    """What is wrong with the change of an order that had this version and this deadline."""
    if order.version != len(order.timeline) or order.version < version:
        yield f"order {order.id} is at version {order.version} after {version}, with {len(order.timeline)} entries"
    for before, entry in itertools.pairwise(order.timeline[-2:]):
        if entry.status not in TRANSITIONS[before.status]:
            yield f"order {order.id} went from {before.status} to {entry.status}"
    if _is_made_by_a_deadline(order) and (deadline is None or deadline > now):
        what, at = order.timeline[-1].detail or order.status, deadline or "not there"
        yield f"order {order.id}: {what}, though it is {now}, and the deadline is {at}"


def _is_made_by_a_deadline(order: Order) -> bool:
    """An order that is CANCELLED names its first reason once more, and a deadline had part in that only before."""
    detail = order.timeline[-1].detail or ""
    is_too_late = order.status is OrderStatus.CANCELLING and detail in (NO_STOCK_IN_TIME, NO_PAYMENT_IN_TIME)
    return is_too_late or detail.startswith("compensation asked for again") or order.status is OrderStatus.STUCK


def _stock(store: Any) -> Iterator[str]:
    """What is reserved of a product is what its reservations hold, and no more than is on hand."""
    held: Counter[Any] = Counter()
    for reservation in store._rows.rows.values():
        if reservation.status is ReservationStatus.RESERVED:
            for line in reservation.lines:
                held[line.product_id] += line.quantity
    for product in store._products.values():
        if product.reserved != held[product.id] or product.reserved > product.on_hand:
            yield (
                f"of {product.id} {product.reserved} are reserved and {product.on_hand} on hand, "
                f"but its reservations hold {held[product.id]}"
            )
