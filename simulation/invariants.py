"""What must be true after every single commit. The checks of the chaos campaign look at the end of a history."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from inventory_service.domain import ReservationStatus
from order_service.domain.fulfilment import NO_PAYMENT_IN_TIME, NO_STOCK_IN_TIME
from order_service.domain.order import Order
from order_service.domain.order_status import TRANSITIONS, OrderStatus
from simulation.installation import STEP_TIMEOUT
from simulation.postgres.stores import Database


@dataclass(slots=True)
class Watch:
    """Looks at the committed state of a service after each of its commits. `broken` has what was wrong first.

    `_since` has the newest version of each order, and when it was committed.
    """

    commits: int = 0
    broken: list[str] = field(default_factory=list)
    _since: dict[UUID, tuple[int, float]] = field(default_factory=dict)

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
        now = database.loop.time()
        for order_id, order in database.store._rows.rows.items():
            version, since = self._since.get(order_id, (0, now))
            if order.version != version:
                yield from _change(order, version, now - since)
                self._since[order_id] = order.version, now


def _change(order: Order, version: int, after: float) -> Iterator[str]:
    if order.version != len(order.timeline) or order.version < version:
        yield f"order {order.id} is at version {order.version} after {version}, with {len(order.timeline)} entries"
    for before, entry in itertools.pairwise(order.timeline[-2:]):
        if entry.status not in TRANSITIONS[before.status]:
            yield f"order {order.id} went from {before.status} to {entry.status}"
    is_too_late = order.timeline[-1].detail in (NO_STOCK_IN_TIME, NO_PAYMENT_IN_TIME)
    if order.timeline[-1].status is OrderStatus.CANCELLING and is_too_late and after < STEP_TIMEOUT:
        yield f"order {order.id} was taken back after {after:.1f} s, and its step may take {STEP_TIMEOUT} s"


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
