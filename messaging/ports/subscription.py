"""Subscriptions: the handlers of records, and the delivery of records to them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from messaging.ports.record import Record

Handler: TypeAlias = Callable[[Record], Awaitable[object]]
"""Returns once the record's effect is durable. Raises Rejected for a record that cannot be handled, now or later. After
any other exception the record is tried again."""

Subscriber: TypeAlias = Callable[[Sequence[Record]], Awaitable[None]]
"""Takes the records that were delivered, those of a key in order. After an exception all of them are delivered
again."""

CaughtUp: TypeAlias = Callable[[], bool]
"""True when the records that were waiting a few seconds ago are handled. It never waits: after False, ask again."""

Delivering: TypeAlias = AbstractAsyncContextManager[CaughtUp]
"""Delivers records until the block is left."""


def group_of(service: str) -> str:
    """The group of a service's consumers. They share its records."""
    return f"{service}-service"


@dataclass(frozen=True, slots=True)
class Subscription:
    """The types of a topic that are handled. An unknown type is ignored if it comes from `source`, which may add types.
    It is rejected otherwise. A topic of commands has no `source`, because all its records are meant for us."""

    topic: str
    handlers: Mapping[str, Handler]
    source: str | None = None


class Deliver(Protocol):
    """Delivers records of topics to a subscriber. See `messaging.kafka.consumer`, `messaging.brokerless.in_process`."""

    def __call__(self, group: str, topics: Sequence[str], subscriber: Subscriber) -> Delivering:
        """Deliver until the block is left: each record at least once, also after a crash, those of a key in order."""
        ...
