"""The contract of the row store in memory. A write has no await in the middle, so no task sees half of it."""

from collections.abc import Callable, Sequence
from typing import Generic
from uuid import UUID

from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import Aggregate, Decision, Write, Written
from messaging.ports.message import Message


class MemoryRows(Generic[Aggregate, Decision]):
    """Aggregates by their ids, and the claims of the events that were handled.

    `effect` returns the aggregate after a decision, and the messages that are sent with it.
    """

    def __init__(self, outbox: MemoryOutbox, effect: Callable[[Decision], tuple[Aggregate, Sequence[Message]]]) -> None:
        self._outbox = outbox
        self._effect = effect
        self.rows: dict[UUID, Aggregate] = {}
        self.claimed: set[UUID] = set()

    async def write(self, write: Write[Aggregate, Decision]) -> Written[Aggregate, Decision]:
        """Decide and store, all or nothing. Raises the exceptions of the decision."""
        current = self.rows.get(write.id)
        if write.claim is not None and write.claim.event_id in self.claimed:
            return Written(current, None)
        decision = write.decide(current)
        if decision is None:
            return Written(current, None)
        aggregate, messages = self._effect(decision)
        self._outbox.add(messages)
        self.rows[write.id] = aggregate
        if write.claim is not None:
            self.claimed.add(write.claim.event_id)
        return Written(aggregate, decision)
