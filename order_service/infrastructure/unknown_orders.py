"""Unknown orders in PostgreSQL and in memory: one row for each order."""

from collections.abc import Sequence
from typing import Any

from messaging.memory.outbox import MemoryOutbox
from messaging.memory.row_store import MemoryRows
from messaging.ports.changes import Write, Written
from messaging.ports.message import Message
from messaging.postgres.aggregate_table import Column, Table
from messaging.postgres.counting import counted
from messaging.postgres.doorbell import Wake
from messaging.postgres.pool import Pools
from messaging.postgres.row_store import RowStore
from order_service.domain.unknown_order import Compensation, UnknownOrder
from order_service.infrastructure.command_encoding import encode_command


def _unknown_of(row: Any) -> UnknownOrder:
    return UnknownOrder(row["id"], row["last_answer"], row["answers"], row["first_at"], row["last_at"])


def _effect_of(compensation: Compensation) -> tuple[UnknownOrder, list[Message]]:
    return compensation.order, [encode_command(command) for command in compensation.commands]


_COLUMNS: Sequence[Column[UnknownOrder]] = (
    Column("id", "uuid", lambda order: order.id),
    Column("last_answer", "text", lambda order: order.last_answer),
    Column("answers", "integer", lambda order: order.answers),
    Column("first_at", "timestamptz", lambda order: order.first_at),
    Column("last_at", "timestamptz", lambda order: order.last_at),
)
_UNKNOWN = Table("unknown_orders", _COLUMNS, _unknown_of)
_NEWEST = f"select {_UNKNOWN.names} from unknown_orders order by last_at desc, id limit $1"


class PostgresUnknownOrders:
    """The UnknownOrderStore of production. It opens its connection when it is needed, which is hardly ever."""

    def __init__(self, dsn: str, pools: Pools, wake: Wake, *, max_batch: int, max_waiting: int) -> None:
        self._pools = pools
        self._rows = RowStore[UnknownOrder, Compensation](
            dsn, _UNKNOWN, _effect_of, wake, connections=1, max_batch=max_batch, max_waiting=max_waiting
        )

    async def write(self, write: Write[UnknownOrder, Compensation]) -> Written[UnknownOrder, Compensation]:
        """See UnknownOrderStore."""
        return await self._rows.write(write)

    async def newest(self, limit: int) -> Sequence[UnknownOrder]:
        """See UnknownOrderStore."""
        return [_unknown_of(row) for row in await self._pools.engine.fetch(_NEWEST, limit)]

    async def count(self) -> int:
        """See UnknownOrderStore."""
        return int(await self._pools.engine.fetchval(f"select {counted('from unknown_orders')}"))

    async def close(self) -> None:
        """Answer every accepted write, then close the connection."""
        await self._rows.close()


class MemoryUnknownOrders:
    """The same in memory."""

    def __init__(self, outbox: MemoryOutbox) -> None:
        self._rows = MemoryRows[UnknownOrder, Compensation](outbox, _effect_of)

    async def write(self, write: Write[UnknownOrder, Compensation]) -> Written[UnknownOrder, Compensation]:
        """See UnknownOrderStore."""
        return await self._rows.write(write)

    async def newest(self, limit: int) -> Sequence[UnknownOrder]:
        """See UnknownOrderStore."""
        return sorted(self._rows.rows.values(), key=lambda order: order.last_at, reverse=True)[:limit]

    async def count(self) -> int:
        """See UnknownOrderStore."""
        return len(self._rows.rows)
