"""A record is a message as it was delivered to a consumer. Rejected says that a record will never be handled."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

UNREADABLE = "unreadable"
"""The header of a record that replaces one whose bytes could not be read. Its value says why."""


class Rejected(Exception):
    """This record cannot be handled, now or later. The text says why. The record becomes a dead letter at once."""


@dataclass(frozen=True, slots=True)
class Record:
    """A message as it was delivered. Topic, partition and offset are its place on Kafka. A record of an outbox in this
    process has the partition 0 and its row's id as the offset."""

    topic: str
    partition: int
    offset: int
    key: str
    headers: Mapping[str, str]
    value: bytes

    @property
    def type(self) -> str:
        """The event's or command's type. Raises Rejected."""
        if UNREADABLE in self.headers:
            raise Rejected(self.headers[UNREADABLE])
        return self.header("ce_type")

    @property
    def event_id(self) -> UUID:
        """The id by which a record that comes again is recognised. Raises Rejected."""
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
