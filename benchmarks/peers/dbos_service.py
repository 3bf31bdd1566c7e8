"""DBOS: one FastAPI process. A workflow is an order, and its state is in PostgreSQL after every step."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
from dbos import DBOS, DBOSConfig, SetWorkflowID
from fastapi import FastAPI

from benchmarks.peers import shop

_config: DBOSConfig = {
    "name": "oms",
    "system_database_url": os.environ["SYSTEM_DATABASE_URL"],
    "log_level": "WARNING",
    # Another version would leave the workflows of the one before alone after a restart.
    "application_version": "1",
    "run_admin_server": False,
    # The most of what was tried, from 4 to 100: threads and connections stand in one another's way.
    "sys_db_pool_size": 8,
    "max_executor_threads": 8,
    "db_engine_kwargs": {"pool_pre_ping": False},
}
DBOS(config=_config)
_POOL: dict[str, Any] = {}


@DBOS.step()
async def reserve(order_id: str, product_id: str, quantity: int) -> bool:
    """See shop."""
    return await shop.reserve(_POOL["shop"], order_id, product_id, quantity)


@DBOS.step(retries_allowed=True)
async def charge(quantity: int) -> bool:
    """See shop."""
    return await shop.charge(quantity)


@DBOS.step()
async def confirm(order_id: str) -> None:
    """See shop."""
    await shop.confirm(_POOL["shop"], order_id)


@DBOS.step()
async def reject(order_id: str, reason: str) -> None:
    """See shop."""
    await shop.reject(_POOL["shop"], order_id, reason)


@DBOS.workflow()
async def fulfil(order_id: str, product_id: str, quantity: int) -> None:
    """Stock, money, and the decision."""
    if not await reserve(order_id, product_id, quantity):
        await reject(order_id, "out of stock")
    elif not await charge(quantity):
        await reject(order_id, "payment declined")
    else:
        await confirm(order_id)


@asynccontextmanager
async def _running(_: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10) as _POOL["shop"]:
        DBOS.launch()
        yield
        DBOS.destroy()


app = FastAPI(lifespan=_running)


@app.post("/orders", status_code=201)
async def place(order: shop.NewOrder) -> dict[str, str]:
    """The order is durable once its workflow has started."""
    order_id, line = str(uuid4()), order.items[0]
    with SetWorkflowID(order_id):
        await DBOS.start_workflow_async(fulfil, order_id, line.productId, line.quantity)
    return {"orderId": order_id, "status": "PENDING"}
