"""Stock in PostgreSQL: a row a product, a row a reservation, and one transaction for a whole batch of commands.

The transaction claims the commands' events, locks what they concern, makes the decisions one after the other on what it
has locked, and writes the sum of them. A thousand orders for the last ten pieces are decided in one pass, and nobody
loses a race.

Locks are taken in one order everywhere: claims by event id, then reservations by order id, then products by their ids.
So instances wait for one another and cannot deadlock. (Ordering resources against deadlock is Havender's, 1968.)
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from inventory_service.application import StockWrite, StockWriteResult
from inventory_service.domain import Product, Reservation, ReservationStatus, ReservedLine
from inventory_service.infrastructure.event_encoding import encode
from messaging.engine.group_commit import GroupCommitter
from messaging.engine.retry import retry_when_busy
from messaging.ports.changes import Committed, Duplicate, StoreBusy
from messaging.ports.message import Message
from messaging.postgres.connection import CommitConnection
from messaging.postgres.outbox import message_columns, notify
from messaging.postgres.pool import Pools
from shared_kernel.money import Money
from shared_kernel.product import ProductId

_PRODUCT = "id, price_minor, currency, on_hand, reserved"

# The rows are those of claims that were free, each with its order's reservation if there is one. `array(…)` is
# evaluated as a whole, so that every claim is taken before the first reservation is locked.
_CLAIM = """
    with fresh as (
        insert into inbox (event_id) select unnest($1::uuid[]) on conflict do nothing returning event_id
    ), concerned as (
        select event_id, w.order_id from fresh join unnest($1::uuid[], $2::uuid[]) as w(event_id, order_id)
        using (event_id)
    ), locked as (
        select order_id, status, lines, currency, reason from reservations
        where order_id = any(array(select order_id from concerned)) order by order_id for update
    )
    select c.event_id, l.* from concerned c left join locked l using (order_id)
"""
_LOCK_PRODUCTS = f"select {_PRODUCT} from products where id = any($1::text[]) order by id for update"

# A reservation's lines never change after it is made. One that others made in the meantime is not counted as added.
_WRITE = f"""
    with added as (
        insert into reservations (order_id, status, lines, currency, reason)
        select a.order_id, a.status, a.lines::jsonb, a.currency, a.reason
        from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
             as a(order_id, status, lines, currency, reason)
        order by a.order_id on conflict do nothing returning order_id
    ), changed as (
        update reservations r set status = c.status, changed_at = now()
        from unnest($6::uuid[], $7::text[]) as c(order_id, status) where r.order_id = c.order_id
    ), stocked as (
        update products p set on_hand = s.on_hand, reserved = s.reserved
        from unnest($8::text[], $9::integer[], $10::integer[]) as s(id, on_hand, reserved) where p.id = s.id
    ), sent as (
        insert into outbox (shard, event_id, topic, key, headers, value)
        select m.shard, m.event_id, m.topic, m.key, m.headers::json, m.value
        from unnest($11::smallint[], $12::uuid[], $13::text[], $14::text[], $15::text[], $16::bytea[])
             with ordinality as m(shard, event_id, topic, key, headers, value, place)
        order by m.place
    )
    select (select count(*) from added) as added, {notify("$11")}
"""

_FIND = f"select {_PRODUCT} from products where id = $1"
_PAGE = f"select {_PRODUCT} from products where $1::text is null or id > $1 order by id limit $2"
_ADD_PRODUCT = f"insert into products ({_PRODUCT}) values ($1, $2, $3, $4, $5) on conflict do nothing returning id"
_CHANGE_PRODUCT = """
    update products set price_minor = $2, currency = $3, on_hand = $4, reserved = $5 where id = $1 returning id
"""


class PostgresStock:
    """The StockStore of production. `pools` are of the same database."""

    def __init__(self, dsn: str, pools: Pools, *, connections: int, max_batch: int, max_waiting: int) -> None:
        self._pools = pools
        self._connections = [CommitConnection(dsn) for _ in range(connections)]
        self._committer = GroupCommitter[StockWrite, StockWriteResult](
            [_StockCommits(connection) for connection in self._connections],
            name="stock",
            max_batch=max_batch,
            max_waiting=max_waiting,
        )

    @property
    def is_full(self) -> bool:
        """True when the next write would be refused."""
        return self._committer.is_full

    async def commit(self, write: StockWrite) -> StockWriteResult:
        """See StockStore."""
        return await self._committer.commit(write)

    async def change_product(self, product_id: ProductId, decide: Callable[[Product | None], Product]) -> Product:
        """See StockStore. It locks one row and waits for no other while it does."""
        return await retry_when_busy(partial(self._change_product, product_id, decide))

    async def _change_product(self, product_id: ProductId, decide: Callable[[Product | None], Product]) -> Product:
        async with self._pools.clients.transaction() as session:
            row = await session.fetchrow(f"{_FIND} for update", product_id.value)
            product = decide(_product_of(row) if row else None)
            if not await session.fetchrow(_CHANGE_PRODUCT if row else _ADD_PRODUCT, *_row_of(product)):
                raise StoreBusy("the product was added by somebody else a moment ago")
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
        """Answer every write that was taken, then close the connections."""
        await self._committer.close()
        for connection in self._connections:
            await connection.close()


class _StockCommits:
    """Commits a batch of decisions over one connection."""

    def __init__(self, connection: CommitConnection) -> None:
        self._connection = connection

    async def __call__(self, batch: Sequence[StockWrite]) -> Sequence[StockWriteResult]:
        async with self._connection.transaction():
            return await self._commit(batch)

    async def _commit(self, batch: Sequence[StockWrite]) -> Sequence[StockWriteResult]:
        there = await self._claim(batch)
        if not there:
            return [Duplicate(write.order_id) for write in batch]
        free = set(there)
        reservations = {found.order_id: found for found in there.values() if found}
        products = await self._lock_products([write for write in batch if write.claim.event_id in free], reservations)
        before = (dict(reservations), dict(products))
        messages: list[Message] = []
        outcomes: list[StockWriteResult] = []
        for write in batch:
            if write.claim.event_id not in free:
                outcomes.append(Duplicate(write.order_id))
                continue
            free.discard(write.claim.event_id)  # the same event may stand in the batch once more
            decision = write.decide(reservations.get(write.order_id), products)
            reservations[write.order_id] = decision.reservation
            products.update({product.id: product for product in decision.products})
            messages += map(encode, decision.events)
            outcomes.append(Committed())
        await self._write(*before, reservations, products, messages)
        return outcomes

    async def _claim(self, batch: Sequence[StockWrite]) -> dict[UUID, Reservation | None]:
        """The events that are handled for the first time, with the reservations that they meet."""
        # An event that stands in the batch twice is the first one's.
        claims = sorted({write.claim.event_id: write.order_id for write in reversed(batch)}.items())
        rows = await self._connection.fetch(_CLAIM, [event for event, _ in claims], [order for _, order in claims])
        return {row["event_id"]: _reservation_of(row) if row["order_id"] else None for row in rows}

    async def _lock_products(
        self, writes: Sequence[StockWrite], reservations: Mapping[UUID, Reservation]
    ) -> dict[ProductId, Product]:
        wanted = {product_id.value for write in writes for product_id in write.product_ids}
        held = {line.product_id.value for reservation in reservations.values() for line in reservation.lines}
        if not wanted | held:
            return {}
        rows = await self._connection.fetch(_LOCK_PRODUCTS, list(wanted | held))
        return {product.id: product for product in map(_product_of, rows)}

    async def _write(
        self,
        reservations_before: Mapping[UUID, Reservation],
        products_before: Mapping[ProductId, Product],
        reservations: Mapping[UUID, Reservation],
        products: Mapping[ProductId, Product],
        messages: Sequence[Message],
    ) -> None:
        added = [found for order_id, found in reservations.items() if order_id not in reservations_before]
        changed = [
            found for order_id, found in reservations.items() if reservations_before.get(order_id, found) != found
        ]
        stocked = [product for product_id, product in products.items() if product != products_before[product_id]]
        _, *message_arrays = message_columns([(None, message) for message in messages])
        (row,) = await self._connection.fetch(
            _WRITE,
            [reservation.order_id for reservation in added],
            [reservation.status.value for reservation in added],
            [_encode_lines(reservation) for reservation in added],
            [reservation.lines[0].unit_price.currency if reservation.lines else None for reservation in added],
            [reservation.reason for reservation in added],
            [reservation.order_id for reservation in changed],
            [reservation.status.value for reservation in changed],
            [product.id.value for product in stocked],
            [product.on_hand for product in stocked],
            [product.reserved for product in stocked],
            *message_arrays,
        )
        if row["added"] < len(added):
            raise StoreBusy("a reservation that was not there to be locked is there by now")


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


def _product_of(row: Any) -> Product:
    return Product(
        id=ProductId(row["id"]),
        price=Money(row["price_minor"], row["currency"]),
        on_hand=row["on_hand"],
        reserved=row["reserved"],
    )


def _row_of(product: Product) -> tuple[str, int, str, int, int]:
    return product.id.value, product.price.minor, product.price.currency, product.on_hand, product.reserved
