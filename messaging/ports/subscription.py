"""Who handles which records, and how records get to them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from messaging.ports.record import Record

Handler: TypeAlias = Callable[[Record], Awaitable[object]]
"""Returns once the record's effect is durable. Raises Rejected for what will never be handled; anything else is tried
again."""

Subscriber: TypeAlias = Callable[[Sequence[Record]], Awaitable[None]]
"""Takes what was delivered, those of a key in order; raising asks for all of it again."""


CaughtUp: TypeAlias = Callable[[], bool]
"""True when what was waiting to be delivered a few seconds ago is handled. It does not wait: one that says False is to
be asked again."""

Delivering: TypeAlias = AbstractAsyncContextManager[CaughtUp]
"""Deliveries, for as long as this is entered."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which types of a topic are handled. Types that `source` has added since are none of ours and are ignored; where
    there is no `source`, as on a topic of commands, everything is meant for us and an unknown type is rejected."""

    topic: str
    handlers: Mapping[str, Handler]
    source: str | None = None


class Deliver(Protocol):
    """How records of topics get to a subscriber: `messaging.kafka.consumer`, `messaging.brokerless.in_process`."""

    def __call__(self, group: str, topics: Sequence[str], subscriber: Subscriber) -> Delivering:
        """Deliver while this lasts: each record at least once, also after a crash, those of a key in order."""
        ...
