"""Payments in PostgreSQL: one row a payment, and one statement for a whole batch of commits.

A statement is a transaction. It stores payments, their claims, and their events in the outbox: of each write all three,
or none. A claim never stands without its payment's step, so a message whose step was not stored is handled again.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from messaging.engine.group_commit import GroupCommitter
from messaging.ports.changes import CommitResult, Committed, Conflict, Duplicate
from messaging.postgres.connection import CommitConnection
from messaging.postgres.outbox import INSERT_MESSAGES, NOTIFY, message_columns
from messaging.postgres.pool import Pools
from payment_service.application import PaymentChanges, claimed_event
from payment_service.domain import Payment, PaymentStatus
from payment_service.infrastructure.event_encoding import encode
from shared_kernel.money import Money

_COLUMNS = "order_id, amount_minor, currency, status, reason, reference, version, attempts, created_at, updated_at"

_WANTED = """
    with wanted as (
        select * from unnest($8::uuid[], $9::uuid[], $10::integer[], $11::bigint[], $12::text[], $13::text[],
                             $14::text[], $15::text[], $16::integer[], $17::integer[], $18::timestamptz[],
                             $19::timestamptz[], $20::interval[])
             as w(order_id, claim, expected, amount_minor, currency, status, reason, reference, version, attempts,
                  created_at, updated_at, call_after)
    )
"""

_FINISH = f"""
    , sent as ({INSERT_MESSAGES})
    select array(select id from stored) as stored, {NOTIFY}
"""

# The row comes before its claim. Whoever takes the same event elsewhere wants the same row, waits for it here, and gets
# nothing; so a claim is inserted for a row of ours only. One that is there all the same, because an event id is used
# for two orders, fails the statement. Rows are taken in the order of their ids, as everywhere, so that batches cannot
# deadlock.
_CREATE = f"""
    {_WANTED}
    , stored as (
        insert into payments ({_COLUMNS}, next_attempt_at)
        select {_COLUMNS}, clock_timestamp() + call_after from wanted order by order_id on conflict do nothing
        returning order_id as id
    )
    , claimed as (
        insert into inbox (event_id)
        select w.claim from wanted w join stored on stored.id = w.order_id where w.claim is not null order by w.claim
    )
    {_FINISH}
"""

_UPDATE = f"""
    {_WANTED}
    , held as (
        select w.* from wanted w join payments p on p.order_id = w.order_id and p.version = w.expected
        order by p.order_id for update of p
    )
    , claimed as (
        insert into inbox (event_id)
        select claim from held where claim is not null order by claim on conflict do nothing
        returning event_id
    )
    , stored as (
        update payments p
        set amount_minor = h.amount_minor, currency = h.currency, status = h.status, reason = h.reason,
            reference = h.reference, version = h.version, attempts = h.attempts,
            updated_at = h.updated_at,
            next_attempt_at = case when h.status in ('CHARGING', 'VOIDING', 'REFUNDING')
                                   then coalesce(clock_timestamp() + h.call_after, p.next_attempt_at) end
        from held h
        where p.order_id = h.order_id and p.version = h.expected
          and (h.claim is null or h.claim in (select event_id from claimed))
        returning p.order_id as id
    )
    {_FINISH}
"""

_CLAIMED_BEFORE = "select event_id from inbox where event_id = any($1::uuid[])"
_FIND = f"select {_COLUMNS} from payments where order_id = any($1::uuid[])"
_CLAIM_DUE = f"""
    with due as (
        select order_id as id from payments where next_attempt_at <= clock_timestamp()
        order by next_attempt_at limit $1 for update skip locked
    )
    update payments
    set version = version + 1, attempts = attempts + 1, next_attempt_at = clock_timestamp() + $2::interval,
        updated_at = greatest(updated_at, clock_timestamp())
    from due where order_id = due.id
    returning {_COLUMNS}
"""
_IN_DOUBT = """
    select count(*)::bigint, coalesce(extract(epoch from clock_timestamp() - min(next_attempt_at)), 0)::float8
    from payments where next_attempt_at is not null
"""


class PostgresPayments:
    """The PaymentStore of production. `connections` commit new payments; steps of others, and loads, have a connection
    of their own each."""

    def __init__(self, dsn: str, pools: Pools, *, connections: int, max_batch: int, max_waiting: int) -> None:
        self._pools = pools
        self._connections = [CommitConnection(dsn) for _ in range(connections + 2)]
        loading, updating, *creating = self._connections
        limits = {"max_batch": max_batch, "max_waiting": max_waiting}
        self._creations = GroupCommitter[PaymentChanges, CommitResult](
            [_Commits(connection, _CREATE) for connection in creating], name="new payments", **limits
        )
        self._updates = GroupCommitter[PaymentChanges, CommitResult](
            [_Commits(updating, _UPDATE)], name="payments", **limits
        )
        # Reads that wait together are one query, by the same rule as writes.
        self._loads = GroupCommitter[UUID, Payment | None]([_Loads(loading)], name="payment loads", **limits)

    @property
    def is_full(self) -> bool:
        """True when the next write would be refused."""
        return self._creations.is_full or self._updates.is_full

    async def commit(self, changes: PaymentChanges) -> CommitResult:
        """See PaymentStore."""
        committer = self._updates if changes.expected_version else self._creations
        return await committer.commit(changes)

    async def find(self, order_id: UUID) -> Payment | None:
        """See PaymentStore."""
        return await self._loads.commit(order_id)

    async def claim_due(self, limit: int, lease: timedelta) -> Sequence[Payment]:
        """See PaymentStore. Payments that somebody else is about to change are left out: they will be due again."""
        rows = await self._pools.engine.fetch(_CLAIM_DUE, limit, lease)
        return [_payment_of(row) for row in rows]

    async def in_doubt(self) -> tuple[int, float]:
        """How many payments wait for their gateway's answer, and for how many seconds the call that is due longest has
        been due (negative when none is)."""
        row = await self._pools.engine.fetchrow(_IN_DOUBT)
        return int(row[0]), float(row[1])

    async def close(self) -> None:
        """Answer every write that was taken, then close the connections."""
        for committer in (self._creations, self._updates, self._loads):
            await committer.close()
        for connection in self._connections:
            await connection.close()


class _Commits:
    """Commits a batch over one connection with one of the two statements."""

    def __init__(self, connection: CommitConnection, statement: str) -> None:
        self._connection = connection
        self._statement = statement

    async def __call__(self, batch: Sequence[PaymentChanges]) -> Sequence[CommitResult]:
        # Two decisions on the same payment: the first of them wins here, as it would row by row.
        winners = list({changes.aggregate.order_id: changes for changes in reversed(batch)}.values())
        messages = [(c.aggregate.order_id, encode(event)) for c in winners for event in c.outgoing]
        columns = [list(column) for column in zip(*map(_row, winners), strict=True)]
        try:
            (row,) = await self._connection.fetch(self._statement, *message_columns(messages), *columns)
        except asyncpg.UniqueViolationError:
            if len(batch) > 1:
                raise  # the group committer finds the one whose claim another order has
            return [Duplicate(batch[0].aggregate.order_id)]
        stored = set(row["stored"])
        committed = {id(changes) for changes in winners if changes.aggregate.order_id in stored}
        losers = [changes for changes in batch if id(changes) not in committed]
        taken = await self._claimed_before(losers)
        return [
            Committed()
            if id(changes) in committed
            else Duplicate(changes.aggregate.order_id)
            if claimed_event(changes) in taken
            else Conflict()
            for changes in batch
        ]

    async def _claimed_before(self, losers: Sequence[PaymentChanges]) -> set[UUID]:
        claims = [event_id for changes in losers if (event_id := claimed_event(changes))]
        if not claims:
            return set()
        return {row["event_id"] for row in await self._connection.fetch(_CLAIMED_BEFORE, claims)}


class _Loads:
    """Reads a batch over one connection."""

    def __init__(self, connection: CommitConnection) -> None:
        self._connection = connection

    async def __call__(self, batch: Sequence[UUID]) -> Sequence[Payment | None]:
        rows = await self._connection.fetch(_FIND, batch)
        found = {row["order_id"]: _payment_of(row) for row in rows}
        return [found.get(order_id) for order_id in batch]


def _row(changes: PaymentChanges) -> tuple[Any, ...]:
    payment, amount = changes.aggregate, changes.aggregate.amount
    return (
        payment.order_id,
        claimed_event(changes),
        changes.expected_version,
        amount.minor if amount else None,
        amount.currency if amount else None,
        payment.status.value,
        payment.reason,
        payment.reference,
        payment.version,
        payment.attempts,
        payment.created_at,
        payment.updated_at,
        payment.call_after,
    )


def _payment_of(row: Any) -> Payment:
    minor = row["amount_minor"]
    return Payment(
        order_id=row["order_id"],
        amount=None if minor is None else Money(minor, row["currency"]),
        status=PaymentStatus(row["status"]),
        reason=row["reason"],
        reference=row["reference"],
        version=row["version"],
        attempts=row["attempts"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
