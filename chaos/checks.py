"""What must be true of a round when everything has come to rest. Each check answers sentences about what is not."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from uuid import UUID

from chaos.evidence import Evidence
from chaos.history import Call, Operation
from order_service.application.cell import MOST
from order_service.domain.order import Order
from order_service.domain.order_status import TRANSITIONS, OrderStatus
from tests.real_parts.three_services import PRODUCTS

SETTLED = frozenset({OrderStatus.CONFIRMED, OrderStatus.COMPLETED, OrderStatus.REJECTED, OrderStatus.CANCELLED})
_EVENT_OF = {
    OrderStatus.CONFIRMED: "OrderConfirmedEvent",
    OrderStatus.REJECTED: "OrderRejectedEvent",
    OrderStatus.CANCELLED: "OrderCancelledEvent",
    OrderStatus.COMPLETED: "OrderCompletedEvent",
}
_SHOWN = 3
"""How many violations of one check are written down; their number always is."""


def violations(evidence: Evidence) -> list[str]:
    """All that is wrong, a sentence each."""
    found: list[str] = []
    for check in CHECKS:
        wrong = list(check(evidence))
        found += wrong[:_SHOWN]
        if len(wrong) > _SHOWN:
            found.append(f"… and {len(wrong) - _SHOWN} more of {check.__name__}")
    return found


def everything_settles(evidence: Evidence) -> Iterator[str]:
    """No order waits, no outbox has rows, nothing is parked, and there is no dead letter."""
    for order_id, order in evidence.orders.items():
        if order.status not in SETTLED:
            yield f"order {order_id} is still {order.status}, stock {order.stock}, payment {order.payment}"
    if evidence.waiting:
        yield f"{evidence.waiting} messages are still in an outbox or parked"
    if evidence.dead:
        yield f"there are {evidence.dead} dead letters"
    if evidence.unknown:
        yield f"{evidence.unknown} orders are unknown to the order service and were compensated"


def no_promise_is_lost(evidence: Evidence) -> Iterator[str]:
    """An order of a 201 exists. A cancel that was accepted, and a completion, are in the order's timeline. A cancel is
    accepted as well when the order is on its way back already, and after a declined payment that way ends REJECTED."""
    wanted = {
        Operation.PLACE: {OrderStatus.PENDING},
        Operation.CANCEL: {OrderStatus.CANCELLING, OrderStatus.CANCELLED, OrderStatus.REJECTED},
        Operation.COMPLETE: {OrderStatus.COMPLETED},
    }
    for call in evidence.calls:
        if not call.succeeded or call.operation is Operation.READ:
            continue
        order = evidence.orders.get(call.order_id or "")
        if order is None:
            yield f"{call.operation} of {call.order} was answered {call.http_status}, but {call.order_id} is not there"
        elif not {entry.status for entry in order.timeline} & wanted[call.operation]:
            yield f"{call.operation} of {call.order_id} was answered {call.http_status}, but it is {order.status}"


def one_key_is_one_order(evidence: Evidence) -> Iterator[str]:
    """All 201s to one key name one order, and no other order has that key."""
    orders: dict[str, set[str]] = defaultdict(set)
    for call in evidence.calls:
        if call.operation is Operation.PLACE and call.succeeded and call.order_id:
            orders[call.order].add(call.order_id)
    for order_id, key in evidence.keys.items():
        orders[key].add(order_id)
    for key, ids in orders.items():
        if len(ids) > 1:
            yield f"key {key} made {len(ids)} orders: {', '.join(sorted(ids))}"


def reads_never_go_back(evidence: Evidence) -> Iterator[str]:
    """An answer that began after another had ended does not show an older version of the order."""
    by_order: dict[str, list[Call]] = defaultdict(list)
    for call in evidence.calls:
        if call.succeeded and call.version is not None and call.ended is not None:
            by_order[call.order].append(call)
    for order, calls in by_order.items():
        ended = sorted(calls, key=lambda call: call.ended or 0.0)
        newest, position = 0, 0
        for call in sorted(calls, key=lambda call: call.began):
            while (ended[position].ended or 0.0) < call.began:
                # The answer to a repeated POST tells of the order as it was accepted.
                newest = max(newest, ended[position].version or 0)
                position += 1
            if call.operation is not Operation.PLACE and (call.version or 0) < newest:
                yield f"{call.operation} of {order} saw version {call.version} after version {newest} had been seen"


def every_state_seen_is_in_the_timeline(evidence: Evidence) -> Iterator[str]:
    """A version that was read had the status that the timeline has at this version."""
    for call in evidence.calls:
        order = evidence.orders.get(call.order_id or "")
        if order is None or not call.succeeded or call.version is None:
            continue
        if not 1 <= call.version <= len(order.timeline):
            yield f"version {call.version} of {call.order_id} was seen, but it has {len(order.timeline)} versions"
        elif (status := order.timeline[call.version - 1].status) != call.status:
            yield f"version {call.version} of {call.order_id} was seen {call.status}, but it is {status}"


def versions_are_dense(evidence: Evidence) -> Iterator[str]:
    """The timeline has an entry for each version, and each leads to the next by a transition that exists."""
    for order_id, order in evidence.orders.items():
        statuses = [entry.status for entry in order.timeline]
        if order.version != len(statuses):
            yield f"order {order_id} is at version {order.version}, but its timeline has {len(statuses)} entries"
        for before, after in itertools.pairwise(statuses):
            if after not in TRANSITIONS[before]:
                yield f"order {order_id} went from {before} to {after}"


def events_tell_the_timeline(evidence: Evidence) -> Iterator[str]:
    """A read_committed reader finds each event of each order once, in order, and no event of an order that is not
    there."""
    found: dict[str, list[tuple[int | None, str]]] = defaultdict(list)
    for record in evidence.published:
        if record.topic == "order-events":
            found[record.order_id].append((record.order_version, record.type))
        if record.order_id not in evidence.orders:
            yield f"{record.type} on {record.topic} is of order {record.order_id}, which is not there"
    for record in evidence.repeated:
        yield f"{record.type} {record.event_id} of {record.order_id} is on {record.topic} twice"
    for order_id, order in evidence.orders.items():
        if (events := found[order_id]) != (wanted := list(_events_of(order))):
            yield f"the events of {order_id} are {events}, and not {wanted}"


def _events_of(order: Order) -> Iterator[tuple[int, str]]:
    yield 1, "OrderCreatedEvent"
    statuses = [entry.status for entry in order.timeline]
    for version, (before, after) in enumerate(itertools.pairwise(statuses), start=2):
        if after is not before and after in _EVENT_OF:
            yield version, _EVENT_OF[after]


def stock_agrees(evidence: Evidence) -> Iterator[str]:
    """What is reserved is what confirmed orders want, and what has left is what completed orders wanted."""
    reserved = _quantities(evidence, OrderStatus.CONFIRMED)
    shipped = _quantities(evidence, OrderStatus.COMPLETED)
    for product in evidence.products:
        name = product["id"]
        left = PRODUCTS[name.partition("-")[2]][1] - shipped[name]
        if (product["reserved"], product["on_hand"]) != (reserved[name], left):
            yield (
                f"{name}: {product['reserved']} reserved and {product['on_hand']} on hand, "
                f"but {reserved[name]} are wanted and {left} should be there"
            )
    held = {order_id for order_id, status in evidence.reservations.items() if status == "RESERVED"}
    wanted = {order_id for order_id, order in evidence.orders.items() if order.status is OrderStatus.CONFIRMED}
    for order_id in held ^ wanted:
        yield f"order {order_id}: stock {'held' if order_id in held else 'not held'}, {_status(evidence, order_id)}"


def money_agrees(evidence: Evidence) -> Iterator[str]:
    """The payments and the gateway's books have the total of each confirmed or completed order, and nothing else."""
    owed = {
        order_id: order.total.minor
        for order_id, order in evidence.orders.items()
        if order.status in (OrderStatus.CONFIRMED, OrderStatus.COMPLETED) and order.total is not None
    }
    kept = {
        order_id: payment["amount_minor"]
        for order_id, payment in evidence.payments.items()
        if payment["status"] == "CAPTURED"
    }
    for order_id in sorted(owed.keys() | kept.keys() | {str(order_id) for order_id in evidence.balances}):
        booked = int(evidence.balances.get(UUID(order_id), Decimal()) * 100)
        sums = owed.get(order_id, 0), kept.get(order_id, 0), booked
        if len(set(sums)) > 1:
            yield (
                f"order {order_id} owes {sums[0]}, the payment service has captured {sums[1]}, "
                f"and the gateway has {sums[2]}; {_status(evidence, order_id)}"
            )


def ids_tell_the_cell(evidence: Evidence) -> Iterator[str]:
    """No cell has an order whose id would lead a request to another one."""
    for order_id in evidence.orders:
        if evidence.cell is not None and UUID(order_id).int & MOST != evidence.cell:
            yield f"order {order_id} is in cell {evidence.cell}, and its id tells another one"


def _quantities(evidence: Evidence, status: OrderStatus) -> Counter[str]:
    wanted: Counter[str] = Counter()
    for order in evidence.orders.values():
        if order.status is status:
            for line in order.lines:
                wanted[line.product_id.value] += line.quantity.value
    return wanted


def _status(evidence: Evidence, order_id: str) -> str:
    order = evidence.orders.get(order_id)
    return f"the order is {order.status}" if order else "there is no such order"


CHECKS: Sequence[Callable[[Evidence], Iterable[str]]] = (
    everything_settles,
    no_promise_is_lost,
    one_key_is_one_order,
    reads_never_go_back,
    every_state_seen_is_in_the_timeline,
    versions_are_dense,
    events_tell_the_timeline,
    stock_agrees,
    money_agrees,
    ids_tell_the_cell,
)
