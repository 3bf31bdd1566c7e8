"""More orders than can be stored: those past the queue's bound are refused at once, and memory does not grow with
them."""

import asyncio
from collections import Counter
from pathlib import Path

import asyncpg
import httpx
import psutil

from tests.real_parts.order_process import OrderProcess

QUEUE = 50
BIG_ORDER = {"items": [{"productId": "p" * 64, "quantity": 2}] * 100}


async def test_past_the_queues_bound_orders_are_refused_with_503_and_memory_stays_bounded(
    database: str, tmp_path: Path
) -> None:
    environment = {"ORDER_DATABASE_URL": database, "COMMIT_QUEUE_MAX": str(QUEUE), "COMMIT_BATCH_MAX": "10"}
    blocker = await asyncpg.connect(database)
    with OrderProcess(tmp_path, environment, "serve", "order", "--roles", "api") as service:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(
            base_url=service.url, timeout=httpx.Timeout(120, pool=None), limits=limits
        ) as client:
            await client.post("/orders", json=BIG_ORDER)
            async with blocker.transaction():
                await blocker.execute("lock table orders in access exclusive mode")
                waiting = [asyncio.create_task(client.post("/orders", json=BIG_ORDER)) for _ in range(QUEUE + 20)]
                ready = await _until_refused(client)
                flood, sizes = Counter[int](), []
                for _ in range(5):
                    answers = await asyncio.gather(*(client.post("/orders", json=BIG_ORDER) for _ in range(20)))
                    flood.update(answer.status_code for answer in answers)
                    sizes.append(psutil.Process(service.pid).memory_info().rss)
                retry_after = {answer.headers.get("Retry-After") for answer in answers}
            settled = Counter(answer.status_code for answer in await asyncio.gather(*waiting))
            afterwards = await client.post("/orders", json=BIG_ORDER)
        stored = await blocker.fetchval("select count(*) from orders")
    await blocker.close()

    assert flood == {503: 100}
    assert retry_after == {"1"}
    assert ready.json()["checks"]["commitQueue"] == "DOWN"
    assert sizes[-1] < sizes[0] * 1.2, f"resident memory grew from {sizes[0]} to {sizes[-1]} bytes while refusing"
    assert 503 in settled
    assert set(settled) <= {
        201,
        503,
    }  # on a slow machine the wait for the lock ends before the flood, with a 503 for all
    assert afterwards.status_code == 201
    assert stored == settled[201] + 2


async def _until_refused(client: httpx.AsyncClient) -> httpx.Response:
    """The first answer of readiness that says no. PostgreSQL ends the wait for the lock after ten seconds, and then the
    queue has room for a moment: so it is asked for before the flood."""
    async with asyncio.timeout(60):
        while (ready := await client.get("/health/ready")).status_code != 503:
            await asyncio.sleep(0.01)
    return ready
