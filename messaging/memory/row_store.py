"""The contract of the row store in memory. A write has no await in the middle, so no task sees half of it."""

from collections.abc import Callable, Sequence
from typing import Generic
from uuid import UUID

from messaging.engine.message_spans import decided
from messaging.memory.outbox import MemoryOutbox
from messaging.ports.changes import Aggregate, Decision, Write, Written
from messaging.ports.message import Message
from messaging.ports.trace_context import TraceContext


class MemoryRows(Generic[Aggregate, Decision]):
    """Aggregates by their ids, and the claims of the events that were handled.

    `effect` returns the aggregate after a decision, and the messages that are sent with it. A trace with a message of a
    type in `always_traced` is recorded from that message on.
    """

    def __init__(
        self,
        outbox: MemoryOutbox,
        effect: Callable[[Decision], tuple[Aggregate, Sequence[Message]]],
        always_traced: frozenset[str] = frozenset(),
    ) -> None:
        self._outbox = outbox
        self._effect = effect
        self._always_traced = always_traced
        self.rows: dict[UUID, Aggregate] = {}
        self.claimed: set[UUID] = set()
        self._origins: dict[UUID, str] = {}

    def keep_origin(self, row_id: UUID, trace: TraceContext | None) -> None:
        """Keep the trace in which an aggregate was created."""
        if trace is not None:
            self._origins.setdefault(row_id, trace.traceparent)

    async def write(self, write: Write[Aggregate, Decision]) -> Written[Aggregate, Decision]:
        """Decide and store, all or nothing. Raises the exceptions of the decision."""
        current = self.rows.get(write.id)
        if write.claim is not None and write.claim.event_id in self.claimed:
            return Written(current, None)
        decision = write.decide(current)
        if decision is None:
            return Written(current, None)
        aggregate, messages = self._effect(decision)
        origin = self._origins.get(write.id)
        self._outbox.add(decided(messages, write.trace, origin, self._always_traced, "rows"))
        self.keep_origin(write.id, write.trace)
        self.rows[write.id] = aggregate
        if write.claim is not None:
            self.claimed.add(write.claim.event_id)
        return Written(aggregate, decision)
