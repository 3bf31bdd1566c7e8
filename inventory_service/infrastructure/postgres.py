"""Stock in PostgreSQL: one row for each product and each reservation. Reservations are writes of a row store.

The decision on a reservation also reads products. They are locked after the reservations and in the order of their ids,
so instances wait for one another and cannot deadlock. A thousand orders for the last ten pieces are decided in one
pass, and no decision must be repeated.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pydantic_core import to_json

from inventory_service.application import StockWrite
from inventory_service.domain import Decision, Product, Reservation, ReservationStatus, ReservedLine
from inventory_service.infrastructure.event_encoding import effect_of
from messaging.engine.group_commit import GroupCommitter
from messaging.engine.retry import retry_when_busy
from messaging.ports.audit import AuditEntry
from messaging.ports.changes import StoreBusy, Written
from messaging.postgres.aggregate_table import Column, Table
from messaging.postgres.audit import INSERT_AUDIT, audit_columns
from messaging.postgres.connection import CommitConnection
from messaging.postgres.doorbell import Wake
from messaging.postgres.pool import Pools
from messaging.postgres.row_store import LockedRows, RowCommits
from shared_kernel.money import Money
from shared_kernel.product import ProductId

_PRODUCT = "id, price_minor, currency, on_hand, reserved"

_LOCK_PRODUCTS = f"select {_PRODUCT} from products where id = any($1::text[]) order by id for update"

_RESTOCK = """
    update products p set on_hand = s.on_hand, reserved = s.reserved
    from unnest($1::text[], $2::integer[], $3::integer[]) as s(id, on_hand, reserved) where p.id = s.id
"""

_FIND = f"select {_PRODUCT} from products where id = $1"
_PAGE = f"select {_PRODUCT} from products where $1::text is null or id > $1 order by id limit $2"
_ADD_PRODUCT = f"insert into products ({_PRODUCT}) values ($1, $2, $3, $4, $5) on conflict do nothing returning id"
_CHANGE_PRODUCT = """
    update products set price_minor = $2, currency = $3, on_hand = $4, reserved = $5 where id = $1 returning id
"""


class PostgresStock:
    """The StockStore of production. `pools` are of the same database."""

    def __init__(
        self, dsn: str, pools: Pools, wake: Wake, *, connections: int, max_batch: int, max_waiting: int
    ) -> None:
        self._pools = pools
        self._connections = [CommitConnection(dsn) for _ in range(connections)]
        self._committer = GroupCommitter[StockWrite, Written[Reservation, Decision]](
            [_StockCommits(connection, _RESERVATIONS, effect_of, wake) for connection in self._connections],
            name="stock",
            max_batch=max_batch,
            max_waiting=max_waiting,
        )

    @property
    def is_full(self) -> bool:
        """True when the next write would be refused."""
        return self._committer.is_full

    async def write(self, write: StockWrite) -> Written[Reservation, Decision]:
        """See StockStore."""
        return await self._committer.commit(write)

    async def change_product(
        self, product_id: ProductId, decide: Callable[[Product | None], Product], audit: AuditEntry | None = None
    ) -> Product:
        """See StockStore. The transaction locks one row only, so it cannot deadlock."""
        return await retry_when_busy(partial(self._change_product, product_id, decide, audit))

    async def _change_product(
        self, product_id: ProductId, decide: Callable[[Product | None], Product], audit: AuditEntry | None
    ) -> Product:
        async with self._pools.clients.transaction() as session:
            row = await session.fetchrow(f"{_FIND} for update", product_id.value)
            before = _product_of(row) if row else None
            product = decide(before)
            if not await session.fetchrow(_CHANGE_PRODUCT if row else _ADD_PRODUCT, *_row_of(product)):
                raise StoreBusy("the product was added by somebody else a moment ago")
            if audit is not None and product != before:
                await session.execute(INSERT_AUDIT, *audit_columns([audit]))
        return product

    async def find(self, product_id: ProductId) -> Product | None:
        """See StockStore."""
        row = await self._pools.clients.fetchrow(_FIND, product_id.value)
        return _product_of(row) if row else None

    async def page(self, *, after: ProductId | None, limit: int) -> Sequence[Product]:
        """See StockStore."""
        rows = await self._pools.clients.fetch(_PAGE, after.value if after else None, limit)
        return [_product_of(row) for row in rows]

    async def close(self) -> None:
        """Answer every accepted write, then close the connections."""
        await self._committer.close()
        for connection in self._connections:
            await connection.close()


class _StockCommits(RowCommits[StockWrite, Reservation, Decision]):
    """Commits a batch of decisions over one connection."""

    async def decide(
        self, rows: LockedRows[Reservation, Decision], batch: Sequence[StockWrite]
    ) -> Sequence[Written[Reservation, Decision] | Exception]:
        """See RowCommits. Each decision uses the stock that is left by the previous one."""
        products = await self._lock_products(rows, batch)
        results, stocked = [], {}
        for write in batch:
            result = rows.decide(write.upon(products))
            if isinstance(result, Written) and result.decision is not None:
                stocked.update({product.id: product for product in result.decision.products})
                products.update(stocked)
            results.append(result)
        if stocked:
            await self.connection.fetch(
                _RESTOCK,
                [product_id.value for product_id in stocked],
                [product.on_hand for product in stocked.values()],
                [product.reserved for product in stocked.values()],
            )
        return results

    async def _lock_products(
        self, rows: LockedRows[Reservation, Decision], batch: Sequence[StockWrite]
    ) -> dict[ProductId, Product]:
        wanted = {product_id.value for write in batch for product_id in write.product_ids}
        there = filter(None, (rows.current(write.id) for write in batch))
        held = {line.product_id.value for reservation in there for line in reservation.lines}
        if not wanted | held:
            return {}
        locked = await self.connection.fetch(_LOCK_PRODUCTS, list(wanted | held))
        return {product.id: product for product in map(_product_of, locked)}


def _encode_lines(reservation: Reservation) -> str:
    """The lines as JSON: `[{"p": product, "q": pieces, "u": unit price in minor units}, …]`."""
    return to_json(
        [{"p": line.product_id.value, "q": line.quantity, "u": line.unit_price.minor} for line in reservation.lines]
    ).decode()


def _reservation_of(row: Any) -> Reservation:
    return Reservation(
        order_id=row["order_id"],
        status=ReservationStatus(row["status"]),
        lines=tuple(
            ReservedLine(ProductId(line["p"]), line["q"], Money(line["u"], row["currency"]))
            for line in json.loads(row["lines"])
        ),
        reason=row["reason"],
    )


_COLUMNS: Sequence[Column[Reservation]] = (
    Column("order_id", "uuid", lambda reservation: reservation.order_id),
    Column("status", "text", lambda reservation: reservation.status.value),
    Column("lines", "jsonb", _encode_lines),
    Column(
        "currency", "text", lambda reservation: reservation.lines[0].unit_price.currency if reservation.lines else None
    ),
    Column("reason", "text", lambda reservation: reservation.reason),
    Column("changed_at", "timestamptz", lambda _: None, new="now()", changed="now()"),
)
_RESERVATIONS = Table("reservations", _COLUMNS, _reservation_of)


def _product_of(row: Any) -> Product:
    return Product(
        id=ProductId(row["id"]),
        price=Money(row["price_minor"], row["currency"]),
        on_hand=row["on_hand"],
        reserved=row["reserved"],
    )


def _row_of(product: Product) -> tuple[str, int, str, int, int]:
    return product.id.value, product.price.minor, product.price.currency, product.on_hand, product.reserved
