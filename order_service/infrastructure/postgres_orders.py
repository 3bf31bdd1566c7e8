"""Orders in PostgreSQL: one row for each order. Changes are writes of a row store.

New orders need no locks, so a batch of them is one statement. It stores the orders, leaves out those whose key or id is
taken, and inserts the messages of the others into the outbox. A single statement is a transaction, so no BEGIN and no
COMMIT are needed.

Deadlines are set and compared by the clock of the database, because the clocks of instances differ.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from messaging.engine.group_commit import GroupCommitter
from messaging.engine.message_spans import created
from messaging.ports.changes import Created, Duplicate, IdTaken, Written
from messaging.postgres.connection import CommitConnection
from messaging.postgres.counting import counted
from messaging.postgres.doorbell import Wake
from messaging.postgres.durability import AWAIT_STANDBYS
from messaging.postgres.outbox import INSERT_MESSAGES_OF_STORED, age_of_oldest, message_columns
from messaging.postgres.pool import Pools
from messaging.postgres.row_store import RowStore
from order_service.application.ports import NOT_LATER, OrderCreation, OrderWrite, Overdue
from order_service.domain.fulfilment import Reaction
from order_service.domain.order import Order, OrderId
from order_service.domain.order_status import OrderStatus
from order_service.infrastructure.message_encoding import effect_of, encode
from order_service.infrastructure.order_metrics import ACCEPTED
from order_service.infrastructure.order_rows import ORDERS, encode_lines, order_of
from order_service.infrastructure.unknown_orders import PostgresUnknownOrders
from shared_kernel.caller import ANONYMOUS_NAME

_CREATE = f"""
    with stored as (
        insert into orders (id, customer_id, status, stock_status, version, lines, created_at, updated_at, deadline,
                            caller, idempotency_key, request_hash, traceparent)
        select o.id, o.customer_id, 'PENDING', 'REQUESTED', 1, o.lines::jsonb, o.at, o.at,
               clock_timestamp() + o.patience,
               o.caller, o.idempotency_key, o.request_hash, o.traceparent
        from unnest($7::uuid[], $8::text[], $9::text[], $10::timestamptz[], $11::interval[], $12::text[],
                    $13::text[], $14::bytea[], $15::text[])
             as o(id, customer_id, lines, at, patience, caller, idempotency_key, request_hash, traceparent)
        on conflict do nothing
        returning id
    ), sent as ({INSERT_MESSAGES_OF_STORED})
    select array(select id from stored) as stored
"""

_FIRST_OF_KEYS = """
    select o.caller, o.idempotency_key, o.id, o.request_hash
    from unnest($1::text[], $2::text[]) as k(caller, key)
    join orders o on o.caller = k.caller and o.idempotency_key = k.key
"""

_FIND = f"select {ORDERS.names} from orders where id = any($1::uuid[])"
# Each statement has an index with its order: one that served all would read all orders of any status.
_NEWEST = f"select {ORDERS.names} from orders where id < $1 order by id desc limit $2"
_NEWEST_IN = f"select {ORDERS.names} from orders where status = $3 and id < $1 order by id desc limit $2"
# The index has callers, statuses and ids in this order. So the newest orders of all statuses are those of each status.
_NEWEST_OF = f"""
    select of_caller.* from unnest($3::text[]) as wanted(each_status) cross join lateral (
        select {ORDERS.names} from orders
        where caller = $4 and caller <> '{ANONYMOUS_NAME}' and status = each_status and id < $1
        order by id desc limit $2
    ) as of_caller
    order by id desc limit $2
"""
_COUNT = f"select {counted('from orders where status = $1')}"
_ABOVE_ALL = UUID(int=(1 << 128) - 1)
_OVERDUE = """
    select id, version, deadline from orders
    where deadline <= clock_timestamp() - $1::interval
      and ($2::timestamptz is null or (deadline, id) > ($2::timestamptz, $3::uuid))
    order by deadline, id limit $4
"""


class PostgresOrders:
    """The OrderStore of production. `connections` store new orders, and as many store changes. Finds have one."""

    def __init__(
        self, dsn: str, pools: Pools, wake: Wake, *, connections: int, max_batch: int, max_waiting: int
    ) -> None:
        self._pools = pools
        self._connections = [CommitConnection(dsn) for _ in range(connections + 1)]
        finding, *creating = self._connections
        self._creations = GroupCommitter[OrderCreation, Created | Duplicate](
            [_Creations(connection, wake) for connection in creating],
            name="creations",
            max_batch=max_batch,
            max_waiting=max_waiting,
        )
        self._rows = RowStore[Order, Reaction](
            dsn, ORDERS, effect_of, wake, connections=connections, max_batch=max_batch, max_waiting=max_waiting
        )
        self.unknown = PostgresUnknownOrders(dsn, pools, wake, max_batch=max_batch, max_waiting=max_waiting)
        # Reads that wait together are one query, as writes that wait together are one transaction.
        self._finds = GroupCommitter[OrderId, Order | None](
            [_Finds(finding)], name="finds", operation="SELECT", max_batch=max_batch, max_waiting=max_waiting
        )

    @property
    def is_full(self) -> bool:
        """True when the next order would be refused."""
        return self._creations.is_full

    async def create(self, creation: OrderCreation) -> Created | Duplicate:
        """See OrderStore."""
        return await self._creations.commit(creation)

    async def write(self, write: OrderWrite) -> Written[Order, Reaction]:
        """See OrderStore."""
        return await self._rows.write(write)

    async def find(self, order_id: OrderId) -> Order | None:
        """See OrderStore."""
        return await self._finds.commit(order_id)

    async def newest(
        self, *, status: OrderStatus | None, before: OrderId | None, limit: int, caller: str | None = None
    ) -> Sequence[Order]:
        """See OrderStore."""
        below = before.value if before else _ABOVE_ALL
        statuses = [status] if status else list(OrderStatus)
        rows = await (
            self._pools.clients.fetch(_NEWEST_OF, below, limit, statuses, caller)
            if caller is not None
            else self._pools.clients.fetch(_NEWEST_IN, below, limit, status)
            if status
            else self._pools.clients.fetch(_NEWEST, below, limit)
        )
        return [order_of(row) for row in rows]

    async def count(self, status: OrderStatus) -> int:
        """See OrderStore."""
        return int(await self._pools.engine.fetchval(_COUNT, status))

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
        """Answer every accepted write and read, then close the connections."""
        for store in (self._creations, self._rows, self.unknown, self._finds):
            await store.close()
        for connection in self._connections:
            await connection.close()


class _Creations:
    """Commits a batch of new orders over one connection."""

    def __init__(self, connection: CommitConnection, wake: Wake) -> None:
        self._connection = connection
        self._wake = wake

    async def __call__(self, batch: Sequence[OrderCreation]) -> Sequence[Created | Duplicate | Exception]:
        # Batches that race for the same keys take them in the same order, so that they cannot deadlock.
        rows = sorted(batch, key=_claimed_key) if any(creation.claim for creation in batch) else batch
        orders = [creation.aggregate for creation in rows]
        claims = [creation.claim for creation in rows]
        columns = message_columns(
            [message for row in rows for message in created([encode(each) for each in row.outgoing], row.trace)]
        )
        (row,) = await self._connection.fetch(
            _CREATE,
            *columns,
            [order.id.value for order in orders],
            [order.customer_id.value if order.customer_id else None for order in orders],
            [encode_lines(order) for order in orders],
            [order.created_at for order in orders],
            [order.patience for order in orders],
            [_stored_caller(row) for row in rows],
            [claim.key if claim else None for claim in claims],
            [claim.request_hash if claim else None for claim in claims],
            [row.trace.traceparent if row.trace else None for row in rows],
        )
        self._wake(columns[0])
        stored = set(row["stored"])
        ACCEPTED.inc(len(stored))
        if len(stored) == len(batch):
            return [Created()] * len(batch)
        return await self._name_the_first(batch, stored)

    async def _name_the_first(
        self, batch: Sequence[OrderCreation], stored: set[UUID]
    ) -> Sequence[Created | Duplicate | Exception]:
        losers = [_claimed_key(creation) for creation in batch if creation.aggregate.id.value not in stored]
        rows = await self._connection.fetch(
            _FIRST_OF_KEYS, [caller for caller, _ in losers], [key for _, key in losers]
        )
        await self._connection.fetch(AWAIT_STANDBYS)
        firsts = {(row[0], row[1]): Duplicate(row[2], row[3]) for row in rows}
        return [
            Created()
            if creation.aggregate.id.value in stored
            else firsts.get(_claimed_key(creation), IdTaken(f"the id of a new order is taken: {creation.aggregate.id}"))
            for creation in batch
        ]


class _Finds:
    """Answers a batch of reads over one connection."""

    def __init__(self, connection: CommitConnection) -> None:
        self._connection = connection

    async def __call__(self, batch: Sequence[OrderId]) -> Sequence[Order | None]:
        rows = await self._connection.fetch(_FIND, [order_id.value for order_id in batch])
        found = {row["id"]: order_of(row) for row in rows}
        return [found.get(order_id.value) for order_id in batch]


def _stored_caller(creation: OrderCreation) -> str | None:
    """Anonymous orders are stored without a caller, unless they have a key, which needs one."""
    if creation.claim is not None:
        return creation.claim.caller
    caller = creation.aggregate.caller
    return None if caller == ANONYMOUS_NAME else caller


def _claimed_key(creation: OrderCreation) -> tuple[str, str]:
    return (creation.claim.caller, creation.claim.key) if creation.claim else ("", "")
