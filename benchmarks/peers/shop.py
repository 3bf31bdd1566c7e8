"""What an engine's steps do. Each is one statement and one commit, and may be repeated: the id of the order tells."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

_PRICE = Decimal("12.50")
_LIMIT = Decimal("1000.00")

_RESERVE = """
with known as (
    insert into orders (id, product_id, quantity, amount, status) values ($1, $2, $3, $4, 'PENDING')
    on conflict do nothing
), taken as (
    update stock set reserved = reserved + $3 where product_id = $2 and on_hand - reserved >= $3
    and not exists (select from reservations where order_id = $1)
    returning product_id
), reserved as (
    insert into reservations select $1, product_id, $3 from taken
), asked as (
    insert into payments select $1, $4, 'REQUESTED' from taken
)
select exists (select from taken) or exists (select from reservations where order_id = $1)
"""
_CONFIRM = """
with paid as (update payments set status = 'CAPTURED' where order_id = $1)
update orders set status = 'CONFIRMED', updated_at = $2 where id = $1
"""
_REJECT = """
with released as (
    delete from reservations where order_id = $1 returning product_id, quantity
), given_back as (
    update stock set reserved = reserved - released.quantity from released
    where stock.product_id = released.product_id
), not_paid as (
    update payments set status = 'DECLINED' where order_id = $1
)
update orders set status = 'REJECTED', reason = $2, updated_at = clock_timestamp() where id = $1
"""


class Line(BaseModel):
    """One product, and how much of it."""

    productId: Annotated[str, Field(min_length=1, max_length=64)]  # noqa: N815  as in our API
    quantity: Annotated[int, Field(ge=1, le=1000)]


class NewOrder(BaseModel):
    """The body of POST /orders, with one line: these statements take no more."""

    items: Annotated[list[Line], Field(min_length=1, max_length=1)]


async def reserve(pool: Any, order_id: str, product_id: str, quantity: int) -> bool:
    """Keep the order, and reserve its stock. False when there is not enough."""
    enough: bool = await pool.fetchval(_RESERVE, UUID(order_id), product_id, quantity, _PRICE * quantity)
    return enough


async def charge(quantity: int) -> bool:
    """The simulated gateway, which takes no time: true below its limit."""
    return _PRICE * quantity <= _LIMIT


async def confirm(pool: Any, order_id: str) -> None:
    """The order is paid. As in our services, its time is that of the decision, which is before the commit."""
    await pool.execute(_CONFIRM, UUID(order_id), datetime.now(UTC))


async def reject(pool: Any, order_id: str, reason: str) -> None:
    """The order is not to be had, and its stock is free again."""
    await pool.execute(_REJECT, UUID(order_id), reason)
