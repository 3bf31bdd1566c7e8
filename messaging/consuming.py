"""Consuming, as the services see it: a record as it was delivered, who handles which type, and what may go wrong.

There are three places for a record: handled, parked behind its key's failing head, or in the dead letters.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from uuid import UUID


class Rejected(Exception):
    """This record will never be handled, whatever is tried; the text says why. It becomes a dead letter at once."""


@dataclass(frozen=True, slots=True)
class Record:
    """A message as it was delivered. Topic, partition and offset say where it lies: on Kafka, or in the outbox of a
    service in this process, where the partition is 0 and the offset is the row's id."""

    topic: str
    partition: int
    offset: int
    key: str
    headers: Mapping[str, str]
    value: bytes

    @property
    def type(self) -> str:
        """The event's or command's type. Raises Rejected."""
        return self.header("ce_type")

    @property
    def event_id(self) -> UUID:
        """The id that makes the record happen once. Raises Rejected."""
        event_id = self.header("ce_id")
        try:
            return UUID(event_id)
        except ValueError:
            raise Rejected(f"its header ce_id must be a UUID, not {event_id!r}") from None

    def header(self, name: str) -> str:
        """A header that every message has. Raises Rejected."""
        value = self.headers.get(name)
        if value is None:
            raise Rejected(f"it has no header {name}")
        return value


Handler: TypeAlias = Callable[[Record], Awaitable[object]]
"""Returns once the record's effect is durable. Raises Rejected for what will never be handled; anything else is tried
again."""

Subscriber: TypeAlias = Callable[[Sequence[Record]], Awaitable[None]]
"""Takes what was delivered, those of a key in order; raising asks for all of it again."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which types of a topic are handled. Types that `source` has added since are none of ours and are ignored; where
    there is no `source`, as on a topic of commands, everything is meant for us and an unknown type is rejected."""

    topic: str
    handlers: Mapping[str, Handler]
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that was not handled, why, and how often it was tried."""

    record: Record
    error: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Parked:
    """The oldest record of a parked key; `id` is where it is kept."""

    id: int
    record: Record
    attempts: int


class Failures(Protocol):
    """Where a service keeps what it could not handle. Every method raises StoreUnavailable."""

    async def parked_among(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that have something parked."""
        ...

    async def park(self, failures: Sequence[Failure]) -> None:
        """Keep records of one key behind each other, in this order. One that is parked already stays where it is."""
        ...

    async def bury(self, failure: Failure, parked_id: int | None = None) -> None:
        """Keep a record as a dead letter, and no longer as parked. One that is there already stays."""
        ...

    async def due(self, limit: int) -> Sequence[str]:
        """Keys whose oldest parked record is to be tried again by now."""
        ...

    async def oldest_of(self, key: str) -> Parked | None:
        """The key's oldest parked record."""
        ...

    async def postpone(self, parked_id: int, error: str, seconds: float) -> None:
        """It failed once more: try it again in so many seconds."""
        ...

    async def forget(self, parked_id: int) -> None:
        """It was handled."""
        ...


class Deliver(Protocol):
    """How records of topics get to a subscriber: `messaging.kafka_consumer`, `messaging.in_process`."""

    def __call__(self, group: str, topics: Sequence[str], subscriber: Subscriber) -> AbstractAsyncContextManager[None]:
        """Deliver while this lasts: each record at least once, also after a crash, those of a key in order."""
        ...
