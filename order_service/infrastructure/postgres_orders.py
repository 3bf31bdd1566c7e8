"""Orders in PostgreSQL: one row an order, and one statement for a whole batch of commits.

Each statement stores aggregates, leaves out those whose claim or version lost, inserts the messages of the others into
the outbox and notifies the relays. One statement is one transaction, so there is no BEGIN, no COMMIT and no half of it.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from messaging.changes import Committed, Conflict, Duplicate, Outcome
from messaging.group_commit import GroupCommitter
from messaging.outbox import CHANNEL, INSERT_MESSAGES, message_columns
from messaging.postgres import CommitConnection, unavailable_when_away
from order_service.application.ports import OrderChanges
from order_service.domain.order import Order, OrderId, OrderStatus
from order_service.infrastructure.event_encoding import encode
from order_service.infrastructure.order_rows import COLUMNS, encode_history, encode_lines, order_of

_FINISH = f"""
    , sent as ({INSERT_MESSAGES})
    select array(select id from stored) as stored, pg_notify('{CHANNEL}', '')
"""

_CREATE = f"""
    with stored as (
        insert into orders (id, customer_id, status, version, lines, created_at, updated_at,
                            caller, idempotency_key, request_hash)
        select o.id, o.customer_id, 'PENDING', 1, o.lines::jsonb, o.at, o.at, o.caller, o.idempotency_key,
        o.request_hash from unnest($8::uuid[], $9::text[], $10::text[], $11::timestamptz[], $12::text[], $13::text[],
        $14::bytea[])      as o(id, customer_id, lines, at, caller, idempotency_key, request_hash)
        on conflict do nothing
        returning id
    ) {_FINISH}
"""

_UPDATE = f"""
    with stored as (
        update orders as o
        set status = n.status, version = n.version, lines = n.lines::jsonb, total_minor = n.total_minor,
            currency = n.currency, reason = n.reason, history = n.history::jsonb, updated_at = n.at
        from unnest($8::uuid[], $9::integer[], $10::text[], $11::integer[], $12::text[], $13::bigint[], $14::text[],
                    $15::text[], $16::text[], $17::timestamptz[])
             as n(id, expected, status, version, lines, total_minor, currency, reason, history, at)
        where o.id = n.id and o.version = n.expected
        returning o.id
    ) {_FINISH}
"""

_FIRST_OF_KEYS = """
    select o.caller, o.idempotency_key, o.id, o.request_hash
    from unnest($1::text[], $2::text[]) as k(caller, key)
    join orders o on o.caller = k.caller and o.idempotency_key = k.key
"""

_FIND = f"select {COLUMNS} from orders where id = $1"
_NEWEST = f"""
    select {COLUMNS} from orders
    where ($1::text is null or status = $1) and ($2::uuid is null or id < $2) order by id desc limit $3
"""


class PostgresOrders:
    """The OrderStore of production. `connections` commit creations; other changes have a connection of their own."""

    def __init__(self, dsn: str, reads: Any, *, connections: int, max_batch: int, max_waiting: int) -> None:
        self._reads = reads
        self._creating = [CommitConnection(dsn) for _ in range(connections)]
        self._updating = CommitConnection(dsn)
        self._creations = GroupCommitter[OrderChanges, Outcome](
            [_Creations(connection) for connection in self._creating],
            name="creations",
            max_batch=max_batch,
            max_waiting=max_waiting,
        )
        self._updates = GroupCommitter[OrderChanges, Outcome](
            [_Updates(self._updating)], name="updates", max_batch=max_batch, max_waiting=max_waiting
        )

    @property
    def is_full(self) -> bool:
        """True when the next order would be refused."""
        return self._creations.is_full

    async def commit(self, changes: OrderChanges) -> Outcome:
        """See OrderStore."""
        committer = self._updates if changes.expected_version else self._creations
        return await committer.commit(changes)

    async def find(self, order_id: OrderId) -> Order | None:
        """See OrderStore."""
        with unavailable_when_away():
            row = await self._reads.fetchrow(_FIND, order_id.value)
        return order_of(row) if row else None

    async def newest(self, *, status: OrderStatus | None, before: OrderId | None, limit: int) -> Sequence[Order]:
        """See OrderStore."""
        with unavailable_when_away():
            rows = await self._reads.fetch(_NEWEST, status, before.value if before else None, limit)
        return [order_of(row) for row in rows]

    async def close(self) -> None:
        """Answer every write that was taken, then close the connections."""
        await self._creations.close()
        await self._updates.close()
        for connection in (*self._creating, self._updating):
            connection.close()


class _Creations:
    """Commits a batch of new orders over one connection."""

    def __init__(self, connection: CommitConnection) -> None:
        self._connection = connection

    async def __call__(self, batch: Sequence[OrderChanges]) -> Sequence[Outcome]:
        # Batches that race for the same keys take them in the same order, so that they cannot deadlock.
        rows = sorted(batch, key=_claimed_key) if any(changes.claim for changes in batch) else batch
        orders = [changes.aggregate for changes in rows]
        claims = [changes.claim for changes in rows]
        stored = await _store(
            self._connection,
            _CREATE,
            rows,
            [order.id.value for order in orders],
            [order.customer_id.value if order.customer_id else None for order in orders],
            [encode_lines(order) for order in orders],
            [order.created_at for order in orders],
            [claim.caller if claim else None for claim in claims],
            [claim.key if claim else None for claim in claims],
            [claim.request_hash if claim else None for claim in claims],
        )
        if len(stored) == len(batch):
            return [Committed()] * len(batch)
        return await self._name_the_first(batch, stored)

    async def _name_the_first(self, batch: Sequence[OrderChanges], stored: set[UUID]) -> Sequence[Outcome]:
        losers = [c.claim for c in batch if c.aggregate.id.value not in stored and c.claim is not None]
        rows = await self._connection.fetch(
            _FIRST_OF_KEYS, [claim.caller for claim in losers], [claim.key for claim in losers]
        )
        firsts = {(row[0], row[1]): Duplicate(row[2], row[3]) for row in rows}
        return [
            Committed()
            if changes.aggregate.id.value in stored
            else (firsts.get((changes.claim.caller, changes.claim.key), Conflict()) if changes.claim else Conflict())
            for changes in batch
        ]


class _Updates:
    """Commits a batch of changed orders over one connection."""

    def __init__(self, connection: CommitConnection) -> None:
        self._connection = connection

    async def __call__(self, batch: Sequence[OrderChanges]) -> Sequence[Outcome]:
        # Two decisions on the same version of one order: the first of them wins here, as it would row by row.
        winners = list({changes.aggregate.id: changes for changes in reversed(batch)}.values())
        orders = [changes.aggregate for changes in winners]
        stored = await _store(
            self._connection,
            _UPDATE,
            winners,
            [order.id.value for order in orders],
            [changes.expected_version for changes in winners],
            [order.status.value for order in orders],
            [order.version for order in orders],
            [encode_lines(order) for order in orders],
            [order.total.minor if order.total else None for order in orders],
            [order.total.currency if order.total else None for order in orders],
            [order.reason for order in orders],
            [encode_history(order) for order in orders],
            [order.updated_at for order in orders],
        )
        committed = {id(changes) for changes in winners if changes.aggregate.id.value in stored}
        return [Committed() if id(changes) in committed else Conflict() for changes in batch]


def _claimed_key(changes: OrderChanges) -> tuple[str, str]:
    return (changes.claim.caller, changes.claim.key) if changes.claim else ("", "")


async def _store(
    connection: CommitConnection, statement: str, batch: Sequence[OrderChanges], *columns: list[Any]
) -> set[UUID]:
    """Run one of the two statements; answers the ids of the orders that were stored."""
    messages = [(c.aggregate.id.value, encode(event)) for c in batch for event in c.events]
    (row,) = await connection.fetch(statement, *message_columns(messages), *columns)
    return set(row["stored"])


async def open_reads(dsn: str) -> Any:
    """A pool for reading. It connects when it is first used, so that a database that is away does not stop the
    start."""
    return await asyncpg.create_pool(dsn, min_size=0, max_size=4, command_timeout=10.0, timeout=5.0)
