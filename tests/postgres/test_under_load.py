"""What a database's administrator does while orders come in: nobody gets a 500, no key is parked, nothing is lost."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.postgres.conftest import name_of
from tests.real_parts.order_process import ORDER
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.three_services import ThreeServices, all_in_one

PRODUCT = {"price": {"amount": "12.50", "currency": "EUR"}, "onHand": 1_000_000}
# What a release's migration does: types change, columns come, and statements that were planned no longer fit.
MIGRATION = {
    "order": ("alter table orders alter column reason type varchar",),
    "inventory": (
        "alter table products alter column currency type varchar",
        "alter table products alter column on_hand type bigint",
        "alter table reservations alter column reason type varchar",
        "alter table reservations alter column status type varchar",
    ),
    "payment": ("alter table payments alter column reason type varchar",),
}
MIGRATION_OF_ALL = (
    "alter table outbox alter column topic type varchar",
    "alter table outbox alter column key type varchar",
    "alter table parked alter column key type varchar",
    "alter table outbox add column note text",
    "alter table inbox add column note text",
)


@asynccontextmanager
async def _load(api: httpx.AsyncClient, answers: Counter[str]) -> AsyncIterator[None]:
    """Clients of every kind, until the block ends; the statuses that each kind of request was answered with."""
    stop = asyncio.Event()
    locations: list[str] = []

    async def post() -> httpx.Response:
        answer = await api.post("/orders", json=ORDER)
        if answer.status_code == 201:
            locations.append(answer.headers["Location"])
        return answer

    async def keep_asking(name: str, ask: Callable[[], Awaitable[httpx.Response]]) -> None:
        while not stop.is_set():
            answer = await ask()
            answers[f"{name} {answer.status_code}"] += 1
            await asyncio.sleep(0.005)

    def last(suffix: str = "") -> str:
        return (locations[-1] if locations else "/orders") + (suffix if locations else "")

    kinds: dict[str, Callable[[], Awaitable[httpx.Response]]] = {
        "POST": post,
        "PUT": lambda: api.put("/products/p1", json=PRODUCT),
        "LIST": lambda: api.get("/orders", params={"status": "CONFIRMED", "limit": 5}),
        "GET": lambda: api.get(last()),
        "CANCEL": lambda: api.post(last("/cancel")),
    }
    async with asyncio.TaskGroup() as group:
        for name, ask in kinds.items():
            group.create_task(keep_asking(name, ask))
        try:
            yield
        finally:
            stop.set()


async def _end_each_session(services: ThreeServices, admin: Any) -> None:
    names = [name_of(dsn) for dsn in services.databases.values()]
    sessions = await admin.fetch("select pid from pg_stat_activity where datname = any($1::text[])", names)
    for session in sessions:
        await admin.execute("select pg_terminate_backend($1)", session["pid"])
        await asyncio.sleep(0.05)


async def _change_the_schema(services: ThreeServices, _admin: Any) -> None:
    for service, dsn in services.databases.items():
        connection = await asyncpg.connect(dsn)
        for statement in (*MIGRATION[service], *MIGRATION_OF_ALL):
            await connection.execute(statement)
            await asyncio.sleep(0.3)
        await connection.close()


@pytest.mark.parametrize("happens", [_end_each_session, _change_the_schema])
async def test_under_load_nobody_gets_a_500_no_key_is_parked_and_nothing_is_lost(
    postgres: PostgresServer, tmp_path: Path, happens: Callable[[ThreeServices, Any], Awaitable[None]]
) -> None:
    admin = await asyncpg.connect(postgres.dsn)
    answers: Counter[str] = Counter()
    async with all_in_one(postgres, tmp_path) as services:
        async with httpx.AsyncClient(base_url=services.url("order"), timeout=60) as api, _load(api, answers):
            await happens(services, admin)
        placed = answers["POST 201"]
        await services.until_settled(placed)
        (await services.audit()).assert_sums_agree()
        log = services.processes["order"].log
    await admin.close()

    assert not [answer for answer in answers if answer.endswith(" 500")], answers
    for sign in ("key parked", "dead letter", "request failed", "does not fit"):
        assert sign not in log, next(line for line in log.splitlines() if sign in line)
