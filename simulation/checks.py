"""What must be true at the end of a history, beside the checks of the chaos campaign: a model can be looked into."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final
from uuid import UUID

from chaos.evidence import Published
from simulation.installation import Installation

_PARTNERS: Final = ("inventory", "payment")


def broken_at_the_end(installation: Installation, published: Sequence[Published]) -> list[str]:
    """A sentence for each thing that is wrong."""
    return [sentence for check in CHECKS for sentence in check(installation, published)]


def money_moved_once(installation: Installation, _: Sequence[Published]) -> Iterator[str]:
    """The gateway has moved money at most once for each key."""
    for key, times in installation.gateway.moved.items():
        if times > 1:
            yield f"money moved {times} times for {key}"


def handled_in_order(installation: Installation, published: Sequence[Published]) -> Iterator[str]:
    """Each service has handled the records of a key in the order in which they are on their topic. `published` has that
    order."""
    places: Mapping[UUID, tuple[str, str, int]] = {
        UUID(record.event_id): (record.topic, record.order_id, place) for place, record in enumerate(published)
    }
    for database in installation.databases.values():
        last: dict[tuple[str, str], int] = {}
        for event_id in database.store._rows.claimed:
            if event_id in places:
                topic, order_id, place = places[event_id]
                if place < last.get((topic, order_id), -1):
                    yield f"{database.service} has handled {event_id} of {order_id} after a later record of {topic}"
                last[topic, order_id] = place


def answered_once(_: Installation, published: Sequence[Published]) -> Iterator[str]:
    """A partner answers a command at most once, however often it comes."""
    asked = Counter((record.topic.removesuffix("-commands"), record.order_id) for record in published)
    for partner in _PARTNERS:
        answers = Counter(record.order_id for record in published if record.topic == f"{partner}-events")
        for order_id, count in answers.items():
            if count > asked[partner, order_id]:
                yield f"{partner} has answered {count} times to {asked[partner, order_id]} commands of order {order_id}"


def begins_each_order(installation: Installation, published: Sequence[Published]) -> Iterator[str]:
    """A partner has handled the first command of each order: no record is forgotten, whatever failed when it came. A
    deadline would make up for it, so the order does not show it."""
    for partner in _PARTNERS:
        firsts: dict[str, UUID] = {}
        for record in published:
            if record.topic == f"{partner}-commands":
                firsts.setdefault(record.order_id, UUID(record.event_id))
        claimed = installation.databases[partner].store._rows.claimed
        for order_id, event_id in firsts.items():
            if event_id not in claimed:
                yield f"{partner} has never handled {event_id}, its first command of order {order_id}"


def goes_on_where_it_was(installation: Installation, _: Sequence[Published]) -> Iterator[str]:
    """A member begins with the oldest records only where it was told that its group has committed no offset."""
    for client, topic, number in installation.wire.beginnings.made_up:
        yield f"{client} begins with the oldest record of {topic}/{number}, and nobody told it to"


CHECKS: Sequence[Callable[[Installation, Sequence[Published]], Iterator[str]]] = (
    money_moved_once,
    handled_in_order,
    answered_once,
    begins_each_order,
    goes_on_where_it_was,
)
