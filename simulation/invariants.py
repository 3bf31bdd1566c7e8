"""What must be true after every single commit. The checks of the chaos campaign look at the end of a history."""

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

from inventory_service.domain import ReservationStatus
from order_service.domain.order_status import TRANSITIONS
from simulation.postgres.stores import Database


def broken(database: Database) -> Iterator[str]:
    """A sentence for each invariant that the committed state of a service breaks."""
    match database.service:
        case "order":
            yield from _orders(database.store)
        case "inventory":
            yield from _stock(database.store)


def _orders(store: Any) -> Iterator[str]:
    """The newest entry of each timeline follows the one before by a transition that exists, and there is one entry for
    each version. Earlier entries were looked at when they were the newest."""
    for order in store._rows.rows.values():
        if order.version != len(order.timeline):
            yield f"order {order.id} is at version {order.version} with {len(order.timeline)} entries in its timeline"
        for before, after in itertools.pairwise(order.timeline[-2:]):
            if after.status not in TRANSITIONS[before.status]:
                yield f"order {order.id} went from {before.status} to {after.status}"


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
