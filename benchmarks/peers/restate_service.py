"""Restate: its server takes the order over HTTP and keeps the result of every step; this endpoint runs the steps."""

import asyncio
import os
from typing import Any

import asyncpg
import restate

from benchmarks.peers import shop

orders = restate.Service("Orders")
_POOL: dict[str, Any] = {}


class NewOrder(shop.NewOrder):
    """The same with an id, which the client chooses."""

    orderId: str  # noqa: N815  as in our API


async def reserve(order_id: str, product_id: str, quantity: int) -> bool:
    """See shop."""
    return await shop.reserve(await _pool(), order_id, product_id, quantity)


async def charge(quantity: int) -> bool:
    """See shop."""
    return await shop.charge(quantity)


async def confirm(order_id: str) -> None:
    """See shop."""
    await shop.confirm(await _pool(), order_id)


async def reject(order_id: str, reason: str) -> None:
    """See shop."""
    await shop.reject(await _pool(), order_id, reason)


@orders.handler()
async def fulfil(context: restate.Context, order: NewOrder) -> None:
    """Stock, money, and the decision."""
    order_id, line = order.orderId, order.items[0]
    it = {"order_id": order_id}
    if not await context.run_typed("reserve", reserve, **it, product_id=line.productId, quantity=line.quantity):
        await context.run_typed("reject", reject, **it, reason="out of stock")
    elif not await context.run_typed("charge", charge, quantity=line.quantity):
        await context.run_typed("reject", reject, **it, reason="payment declined")
    else:
        await context.run_typed("confirm", confirm, **it)


async def _pool() -> Any:
    """One pool, however many steps ask for the first connection at once."""
    if "shop" not in _POOL:
        _POOL["shop"] = asyncio.ensure_future(_connected())
    return await _POOL["shop"]


async def _connected() -> Any:
    return await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10)


app = restate.app(services=[orders])
