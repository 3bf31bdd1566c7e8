"""Orders in PostgreSQL: one row an order, and one statement for a whole batch of commits.

Each statement stores aggregates, leaves out those whose claim or version lost, inserts the messages of the others into
the outbox and notifies the relays. One statement is one transaction, so there is no BEGIN, no COMMIT and no half of it.
Deadlines are set and compared by the clock of the database, because those of our instances differ.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from messaging.engine.group_commit import GroupCommitter
from messaging.ports.changes import CommitResult, Committed, Conflict, Duplicate, IdempotencyKey, InboxClaim
from messaging.ports.message import Message
from messaging.postgres.connection import CommitConnection
from messaging.postgres.outbox import INSERT_MESSAGES, NOTIFY, age_of_oldest, message_columns
from messaging.postgres.pool import Pools
from order_service.application.ports import NOT_LATER, OrderChanges, Overdue
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import OrderStatus
from order_service.infrastructure.message_encoding import encode
from order_service.infrastructure.order_rows import COLUMNS, encode_history, encode_lines, order_of

_CREATE = f"""
    with stored as (
        insert into orders (id, customer_id, status, stock_status, version, lines, created_at, updated_at, deadline,
                            caller, idempotency_key, request_hash)
        select o.id, o.customer_id, 'PENDING', 'REQUESTED', 1, o.lines::jsonb, o.at, o.at,
               clock_timestamp() + o.patience,
               o.caller, o.idempotency_key, o.request_hash
        from unnest($8::uuid[], $9::text[], $10::text[], $11::timestamptz[], $12::interval[], $13::text[],
                    $14::text[], $15::bytea[])
             as o(id, customer_id, lines, at, patience, caller, idempotency_key, request_hash)
        on conflict do nothing
        returning id
    ), sent as ({INSERT_MESSAGES})
    select array(select id from stored) as stored, {NOTIFY}
"""

# A claim is taken only for an order that is still at the version that was decided on, and an order is changed only with
# its claim: both, or neither. Orders are locked in the order of their ids, so that two instances cannot deadlock.
_UPDATE = f"""
    with wanted as (
        select * from unnest($8::uuid[], $9::integer[], $10::uuid[], $11::text[], $12::text[], $13::text[],
                             $14::integer[], $15::text[], $16::bigint[], $17::text[], $18::text[], $19::text[],
                             $20::timestamptz[], $21::interval[], $22::smallint[])
             as n(id, expected, claim, status, stock_status, payment_status, version, lines, total_minor, currency,
                  reason, history, at, patience, attempts)
    ), held as (
        select n.* from wanted n join orders o on o.id = n.id and o.version = n.expected order by o.id for update of o
    ), claimed as (
        insert into inbox (event_id) select claim from held where claim is not null order by claim
        on conflict do nothing returning event_id
    ), stored as (
        update orders as o
        set status = n.status, stock_status = n.stock_status, payment_status = n.payment_status, version = n.version,
            lines = n.lines::jsonb, total_minor = n.total_minor, currency = n.currency, reason = n.reason,
            history = n.history::jsonb, updated_at = n.at, attempts = n.attempts,
            deadline = case when n.status in ('PENDING', 'CANCELLING')
                            then coalesce(clock_timestamp() + n.patience, o.deadline) end
        from held n
        where o.id = n.id and o.version = n.expected
          and (n.claim is null or n.claim in (select event_id from claimed))
        returning o.id
    ), sent as ({INSERT_MESSAGES})
    select array(select id from stored) as stored, array(select id from held) as held, {NOTIFY}
"""

_FIRST_OF_KEYS = """
    select o.caller, o.idempotency_key, o.id, o.request_hash
    from unnest($1::text[], $2::text[]) as k(caller, key)
    join orders o on o.caller = k.caller and o.idempotency_key = k.key
"""

_FIND = f"select {COLUMNS} from orders where id = any($1::uuid[])"
# Two statements, each with an index that has its order: one that served both would read all orders of any status.
_NEWEST = f"select {COLUMNS} from orders where id < $1 order by id desc limit $2"
_NEWEST_IN = f"select {COLUMNS} from orders where status = $3 and id < $1 order by id desc limit $2"
_ABOVE_ALL = UUID(int=(1 << 128) - 1)
_OVERDUE = """
    select id, version, deadline from orders
    where deadline <= clock_timestamp() - $1::interval
      and ($2::timestamptz is null or (deadline, id) > ($2::timestamptz, $3::uuid))
    order by deadline, id limit $4
"""


class PostgresOrders:
    """The OrderStore of production. `connections` commit creations; other changes have a connection of their own."""

    def __init__(self, dsn: str, pools: Pools, *, connections: int, max_batch: int, max_waiting: int) -> None:
        self._pools = pools
        self._creating = [CommitConnection(dsn) for _ in range(connections)]
        self._updating = CommitConnection(dsn)
        self._finding = CommitConnection(dsn)
        self._creations = GroupCommitter[OrderChanges, CommitResult](
            [_Creations(connection) for connection in self._creating],
            name="creations",
            max_batch=max_batch,
            max_waiting=max_waiting,
        )
        self._updates = GroupCommitter[OrderChanges, CommitResult](
            [_Updates(self._updating)], name="updates", max_batch=max_batch, max_waiting=max_waiting
        )
        # Reads that wait together are answered by one query, for the same reason.
        self._finds = GroupCommitter[OrderId, Order | None](
            [_Finds(self._finding)], name="finds", max_batch=max_batch, max_waiting=max_waiting
        )

    @property
    def is_full(self) -> bool:
        """True when the next order would be refused."""
        return self._creations.is_full

    async def commit(self, changes: OrderChanges) -> CommitResult:
        """See OrderStore."""
        committer = self._updates if changes.expected_version else self._creations
        return await committer.commit(changes)

    async def find(self, order_id: OrderId) -> Order | None:
        """See OrderStore."""
        return await self._finds.commit(order_id)

    async def newest(self, *, status: OrderStatus | None, before: OrderId | None, limit: int) -> Sequence[Order]:
        """See OrderStore."""
        below = before.value if before else _ABOVE_ALL
        rows = await (
            self._pools.clients.fetch(_NEWEST_IN, below, limit, status)
            if status
            else self._pools.clients.fetch(_NEWEST, below, limit)
        )
        return [order_of(row) for row in rows]

    async def count(self, status: OrderStatus) -> int:
        """See OrderStore."""
        return int(await self._pools.engine.fetchval("select count(*) from orders where status = $1", status))

    async def overdue(
        self, limit: int, *, grace: timedelta = NOT_LATER, after: Overdue | None = None
    ) -> Sequence[Overdue]:
        """See OrderStore."""
        place = (after.deadline, after.order_id.value) if after else (None, None)
        rows = await self._pools.engine.fetch(_OVERDUE, grace, *place, limit)
        return [Overdue(OrderId(row["id"]), row["version"], row["deadline"]) for row in rows]

    async def unpublished_for(self) -> timedelta:
        """See OrderStore."""
        return await age_of_oldest(self._pools.engine)

    async def close(self) -> None:
        """Answer everything that was taken, then close the connections."""
        for committer in (self._creations, self._updates, self._finds):
            await committer.close()
        for connection in (*self._creating, self._updating, self._finding):
            await connection.close()


class _Creations:
    """Commits a batch of new orders over one connection."""

    def __init__(self, connection: CommitConnection) -> None:
        self._connection = connection

    async def __call__(self, batch: Sequence[OrderChanges]) -> Sequence[CommitResult]:
        # Batches that race for the same keys take them in the same order, so that they cannot deadlock.
        rows = sorted(batch, key=_claimed_key) if any(changes.claim for changes in batch) else batch
        orders = [changes.aggregate for changes in rows]
        claims = [_idempotency_key(changes) for changes in rows]
        (row,) = await self._connection.fetch(
            _CREATE,
            *message_columns(_messages(rows)),
            [order.id.value for order in orders],
            [order.customer_id.value if order.customer_id else None for order in orders],
            [encode_lines(order) for order in orders],
            [order.created_at for order in orders],
            [order.patience for order in orders],
            [claim.caller if claim else None for claim in claims],
            [claim.key if claim else None for claim in claims],
            [claim.request_hash if claim else None for claim in claims],
        )
        stored = set(row["stored"])
        if len(stored) == len(batch):
            return [Committed()] * len(batch)
        return await self._name_the_first(batch, stored)

    async def _name_the_first(self, batch: Sequence[OrderChanges], stored: set[UUID]) -> Sequence[CommitResult]:
        claims = [_idempotency_key(changes) for changes in batch if changes.aggregate.id.value not in stored]
        losers = [claim for claim in claims if claim is not None]
        rows = await self._connection.fetch(
            _FIRST_OF_KEYS, [claim.caller for claim in losers], [claim.key for claim in losers]
        )
        firsts = {(row[0], row[1]): Duplicate(row[2], row[3]) for row in rows}
        return [
            Committed() if changes.aggregate.id.value in stored else firsts.get(_claimed_key(changes), Conflict())
            for changes in batch
        ]


class _Updates:
    """Commits a batch of changed orders over one connection."""

    def __init__(self, connection: CommitConnection) -> None:
        self._connection = connection

    async def __call__(self, batch: Sequence[OrderChanges]) -> Sequence[CommitResult]:
        # Two decisions on the same version of one order: the first of them wins here, as it would row by row.
        winners = list({changes.aggregate.id: changes for changes in reversed(batch)}.values())
        orders = [changes.aggregate for changes in winners]
        (row,) = await self._connection.fetch(
            _UPDATE,
            *message_columns(_messages(winners)),
            [order.id.value for order in orders],
            [changes.expected_version for changes in winners],
            [changes.claim.event_id if isinstance(changes.claim, InboxClaim) else None for changes in winners],
            [order.status.value for order in orders],
            [order.stock.value for order in orders],
            [order.payment.value if order.payment else None for order in orders],
            [order.version for order in orders],
            [encode_lines(order) for order in orders],
            [order.total.minor if order.total else None for order in orders],
            [order.total.currency if order.total else None for order in orders],
            [order.reason for order in orders],
            [encode_history(order) for order in orders],
            [order.updated_at for order in orders],
            [order.patience for order in orders],
            [order.attempts for order in orders],
        )
        stored, held = set(row["stored"]), set(row["held"])
        outcomes = {id(changes): _outcome(changes.aggregate.id.value, stored, held) for changes in winners}
        return [outcomes.get(id(changes), Conflict()) for changes in batch]


class _Finds:
    """Answers a batch of reads over one connection."""

    def __init__(self, connection: CommitConnection) -> None:
        self._connection = connection

    async def __call__(self, batch: Sequence[OrderId]) -> Sequence[Order | None]:
        rows = await self._connection.fetch(_FIND, [order_id.value for order_id in batch])
        found = {row["id"]: order_of(row) for row in rows}
        return [found.get(order_id.value) for order_id in batch]


def _outcome(order_id: UUID, stored: set[UUID], held: set[UUID]) -> CommitResult:
    if order_id in stored:
        return Committed()
    return Duplicate(order_id) if order_id in held else Conflict()


def _idempotency_key(changes: OrderChanges) -> IdempotencyKey | None:
    return changes.claim if isinstance(changes.claim, IdempotencyKey) else None


def _claimed_key(changes: OrderChanges) -> tuple[str, str]:
    claim = _idempotency_key(changes)
    return (claim.caller, claim.key) if claim else ("", "")


def _messages(batch: Sequence[OrderChanges]) -> list[tuple[UUID, Message]]:
    return [(changes.aggregate.id.value, encode(outgoing)) for changes in batch for outgoing in changes.outgoing]
