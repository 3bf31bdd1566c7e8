"""Aggregates as rows of a table. One transaction stores a whole batch of writes.

The transaction claims the events of the writes, locks their rows, makes the decisions one after the other on the locked
rows, and stores the results. No decision is made on stale state, so none is repeated. A decision that fails or changes
nothing affects its own write only, and its claim is given back.

Locked rows make the commit wait for the synchronous standbys even if nothing changes. So an answer that tells of an
earlier commit is as durable as one of a new commit.

Locks are always taken in the same order: claims by event id, then rows by their keys, then new rows by their keys. So
instances wait for one another and cannot deadlock. (The ordering of resources against deadlock is Havender's, 1968.)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar
from uuid import UUID

from messaging.engine import tracing
from messaging.engine.group_commit import GroupCommitter
from messaging.engine.message_spans import decided
from messaging.ports.audit import AuditEntry
from messaging.ports.changes import Aggregate, Decision, InboxClaim, StoreBusy, Write, Written
from messaging.ports.message import Message
from messaging.postgres.aggregate_table import Table
from messaging.postgres.audit import INSERT_AUDIT, audit_columns
from messaging.postgres.connection import CommitConnection
from messaging.postgres.doorbell import Wake
from messaging.postgres.outbox import message_columns

Effect: TypeAlias = Callable[[Decision], tuple[Aggregate, Sequence[Message]]]
"""Returns the aggregate after a decision, and the messages that are sent with it."""

AnyWrite = TypeVar("AnyWrite", bound="_Claiming")

_GIVE_BACK = "delete from inbox where event_id = any($1::uuid[])"


class _Claiming(Protocol):
    @property
    def id(self) -> UUID: ...

    @property
    def claim(self) -> InboxClaim | None: ...


class _Locked(Generic[Aggregate]):
    """A locked row, which is None for a new one, and its aggregate after the decisions so far. `changed` is the same
    aggregate if it must be stored."""

    __slots__ = ("aggregate", "changed", "origin", "row")

    def __init__(self, row: Any, origin: str | None) -> None:
        self.row = row
        self.origin = origin
        self.aggregate: Aggregate | None = None
        self.changed: Aggregate | None = None


class LockedRows(Generic[Aggregate, Decision]):
    """The rows of a batch, in the transaction that has locked them. Each decision sees the results of the previous
    ones."""

    def __init__(
        self, connection: CommitConnection, table: Table[Aggregate], effect: Effect[Decision, Aggregate]
    ) -> None:
        self._connection = connection
        self._table = table
        self._effect = effect
        self._free: set[UUID] = set()
        self._rows: dict[UUID, _Locked[Aggregate]] = {}
        self._messages: list[Message] = []
        self._audit: list[AuditEntry] = []
        self.shards: Sequence[int] = ()

    async def lock(self, batch: Sequence[_Claiming]) -> None:
        """Claim the batch's events and lock its rows."""
        events = [write.claim.event_id if write.claim else None for write in batch]
        rows = await self._connection.fetch(self._table.lock, events, [write.id for write in batch])
        for write, event_id, row in zip(batch, events, rows, strict=True):
            there = row[self._table.key] is not None
            self._rows[write.id] = _Locked(row, self._origin(row)) if there else _Locked(None, None)
            if event_id is not None and row["is_free"]:
                self._free.add(event_id)

    def _origin(self, row: Any) -> str | None:
        return row["traceparent"] if self._table.has_origin else None

    def current(self, row_id: UUID) -> Aggregate | None:
        """The aggregate after the decisions so far. Raises the exceptions of reading its row."""
        return self._read(self._rows[row_id])

    def _read(self, locked: _Locked[Aggregate]) -> Aggregate | None:
        if locked.aggregate is None and locked.row is not None:
            locked.aggregate = self._table.read(locked.row)
        return locked.aggregate

    def decide(self, write: Write[Aggregate, Decision]) -> Written[Aggregate, Decision] | Exception:
        """The result of a write of the batch."""
        locked = self._rows[write.id]
        try:
            before = self._read(locked)
            if write.claim is not None and write.claim.event_id not in self._free:
                return Written(before, None)
            decision = write.decide(before)
            if decision is None:
                return Written(before, None)
            after, messages = self._effect(decision)
            sent = decided(messages, write.trace, locked.origin, self._table.always_traced, self._table.name)
        except Exception as error:  # noqa: BLE001  the write that caused it gets it
            return error
        if write.claim is not None:
            self._free.remove(write.claim.event_id)
        locked.aggregate = locked.changed = after
        if locked.origin is None and write.trace is not None:
            locked.origin = write.trace.traceparent
        self._messages += sent
        if write.audit is not None:
            self._audit.append(write.audit)
        return Written(after, decision)

    async def store(self) -> None:
        """Store the decisions, and give back the claims without a decision. Raises StoreBusy."""
        if self._free:
            await self._connection.fetch(_GIVE_BACK, list(self._free))
        changed = [(row.changed, row) for row in self._rows.values() if row.changed is not None]
        if not changed:
            return
        new = [row.row is None for _, row in changed]
        columns: list[list[object]] = [
            [column.of(aggregate) for aggregate, _ in changed] for column in self._table.columns
        ]
        statement = self._table.add_and_change if any(new) else self._table.change
        if self._table.has_origin and any(new):
            columns.append([row.origin for _, row in changed])
        messages = message_columns(self._messages)
        self.shards = messages[0]
        (row,) = await self._connection.fetch(statement, *messages, new, *columns)
        if row["added"] < sum(new):
            raise StoreBusy("a row that was not there to be locked is there by now")
        if self._audit:
            await self._connection.fetch(INSERT_AUDIT, *audit_columns(self._audit))


class RowCommits(ABC, Generic[AnyWrite, Aggregate, Decision]):
    """Commits batches over one connection, each in one transaction."""

    def __init__(
        self,
        connection: CommitConnection,
        table: Table[Aggregate],
        effect: Effect[Decision, Aggregate],
        wake: Wake,
    ) -> None:
        self.connection = connection
        self._table = table
        self._effect = effect
        self._wake = wake

    async def __call__(self, batch: Sequence[AnyWrite]) -> Sequence[Written[Aggregate, Decision] | Exception]:
        """See GroupCommitter."""
        async with self.connection.transaction():
            table = self._table if tracing.is_on() else self._table.without_origin
            rows = LockedRows(self.connection, table, self._effect)
            await rows.lock(batch)
            results = await self.decide(rows, batch)
            await rows.store()
        self._wake(rows.shards)
        return results

    @abstractmethod
    async def decide(
        self, rows: LockedRows[Aggregate, Decision], batch: Sequence[AnyWrite]
    ) -> Sequence[Written[Aggregate, Decision] | Exception]:
        """The result of each write."""


class WriteCommits(RowCommits[Write[Aggregate, Decision], Aggregate, Decision]):
    """Commits writes that concern only their own row."""

    async def decide(
        self, rows: LockedRows[Aggregate, Decision], batch: Sequence[Write[Aggregate, Decision]]
    ) -> Sequence[Written[Aggregate, Decision] | Exception]:
        """See RowCommits."""
        return [rows.decide(write) for write in batch]


class RowStore(Generic[Aggregate, Decision]):
    """Decides and stores writes. Writes that wait together are one transaction."""

    def __init__(
        self,
        dsn: str,
        table: Table[Aggregate],
        effect: Effect[Decision, Aggregate],
        wake: Wake,
        *,
        connections: int,
        max_batch: int,
        max_waiting: int,
    ) -> None:
        self._connections = [CommitConnection(dsn) for _ in range(connections)]
        self._committer = GroupCommitter[Write[Aggregate, Decision], Written[Aggregate, Decision]](
            [WriteCommits(connection, table, effect, wake) for connection in self._connections],
            name=table.name,
            max_batch=max_batch,
            max_waiting=max_waiting,
        )

    @property
    def is_full(self) -> bool:
        """True when the next write would be refused."""
        return self._committer.is_full

    async def write(self, write: Write[Aggregate, Decision]) -> Written[Aggregate, Decision]:
        """Decide and store, all or nothing. Raises the decision's exceptions, StoreUnavailable and StoreOverloaded."""
        return await self._committer.commit(write)

    async def close(self) -> None:
        """Answer every accepted write, then close the connections."""
        await self._committer.close()
        for connection in self._connections:
            await connection.close()
