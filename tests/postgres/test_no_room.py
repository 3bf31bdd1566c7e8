"""A database without room: its disk is full, its connections are taken, its tables are locked. Nobody gets a 500, no
key is parked, no process ends, and everything goes on by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import httpx
import pytest

from messaging.engine.background import running
from tests.postgres.conftest import name_of, settled, taken
from tests.real_parts.order_process import ORDER
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.query import rows
from tests.real_parts.small_disk import Disk, NoDisk, disk_in_memory
from tests.real_parts.three_services import ThreeServices, all_in_one
from tests.real_parts.waiting import DEADLINE, until

Trouble: TypeAlias = Callable[[Any, ThreeServices], AbstractAsyncContextManager[None]]

MANY, SOME = 100, 20
PATIENT = {"STEP_TIMEOUT_SECONDS": "600"}
_DATA = "select setting from pg_settings where name = 'data_directory'"
_SESSIONS = "select count(*) from pg_stat_activity where datname = any($1::text[])"
_END_SESSIONS = "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = any($1::text[])"
_LOCK_ALL = """
    do $$ declare name text; begin
        for name in select tablename from pg_tables where schemaname = 'public' order by 1
        loop execute format('lock table %I in access exclusive mode nowait', name); end loop;
    end $$
"""


@pytest.fixture
def disk(postgres: PostgresServer) -> Iterator[Disk]:
    """A disk that has room for the databases of the services, and not much more. It is the tablespace `small`."""
    data = asyncio.run(_data_folder(postgres.dsn))
    try:
        with disk_in_memory(megabytes=96, like=data) as mounted:
            postgres.execute(f"create tablespace small location '{mounted.folder}'")
            try:
                yield mounted
            finally:
                postgres.execute("drop tablespace small")
    except NoDisk as missing:
        pytest.skip(str(missing))


async def _data_folder(dsn: str) -> Path:
    ((setting,),) = await rows(dsn, _DATA)
    return Path(setting)


@asynccontextmanager
async def _connections_taken(admin: Any, services: ThreeServices) -> AsyncIterator[None]:
    """Somebody else has every connection of the server; those of the services were closed."""
    names = [name_of(dsn) for dsn in services.databases.values()]
    address = services.databases["order"].replace(f"/{names[0]}?", "/postgres?")
    held: list[Any] = []

    async def take_all() -> None:
        while True:
            try:
                held.append(await asyncpg.connect(address))
            except asyncpg.TooManyConnectionsError:
                await asyncio.sleep(0.01)

    async def have_none() -> bool:
        if await admin.fetchval(_SESSIONS, names) == 0:
            return True
        await admin.fetch(_END_SESSIONS, names)
        return False

    try:
        async with running({"taking connections": take_all()}):
            await until(have_none, "no connection is left for the services")
            yield
    finally:
        await asyncio.gather(*(connection.close() for connection in held))


@asynccontextmanager
async def _tables_locked(_admin: Any, services: ThreeServices) -> AsyncIterator[None]:
    """Somebody has locked every table, as a long migration does."""
    holders = [await asyncpg.connect(dsn) for dsn in services.databases.values()]

    async def locked(holder: Any) -> bool:
        try:
            await holder.execute("begin")
            await holder.execute(_LOCK_ALL)
        except asyncpg.LockNotAvailableError:
            await holder.execute("rollback")
            return False
        return True

    try:
        for holder in holders:
            await until(partial(locked, holder), "all tables are locked")
        yield
    finally:
        for holder in holders:
            await holder.close()


@pytest.mark.parametrize("trouble", [_connections_taken, _tables_locked])
async def test_what_has_no_connection_or_waits_for_a_lock_is_503_and_is_done_afterwards(
    postgres: PostgresServer, tmp_path: Path, trouble: Trouble
) -> None:
    admin = await asyncpg.connect(postgres.dsn)
    async with all_in_one(postgres, tmp_path, **PATIENT) as services, _client(services) as api:
        under_way = [(await api.post("/orders", json=ORDER)).headers["Location"] for _ in range(20)]
        async with trouble(admin, services):
            answers = await asyncio.gather(*(api.post("/orders", json=ORDER) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {503}
        await _goes_on(services, api, under_way)
    await admin.close()


async def test_on_a_full_disk_orders_are_503_and_consumers_and_relays_wait_until_there_is_room(
    postgres: PostgresServer, tmp_path: Path, disk: Disk
) -> None:
    slow = {"SIMULATED_DELAY_SECONDS": "3", **PATIENT}  # so that much is under way when the disk is full
    async with all_in_one(postgres, tmp_path, tablespace="small", **slow) as services, _client(services) as api:
        under_way = await _accepted(api, MANY)

        async def refused() -> bool:
            disk.fill()  # what was given back meanwhile, too
            accepted = await _accepted(api, SOME)
            under_way.extend(accepted)
            return not accepted

        assert len(under_way) == MANY
        with disk.full():
            await until(refused, "the disk is so full that no order is taken")
            await until(partial(_logged, services, "waiting for the store"), "a consumer has no room either")
            assert (await api.get("/health/live")).status_code == 200
        await _goes_on(services, api, under_way)


async def _accepted(api: httpx.AsyncClient, at_once: int) -> list[str]:
    """Of so many orders those that are taken. The others are 503."""
    answers = await asyncio.gather(*(api.post("/orders", json=ORDER) for _ in range(at_once)))
    assert {answer.status_code for answer in answers} <= {201, 503}
    return [answer.headers["Location"] for answer in answers if answer.status_code == 201]


def _client(services: ThreeServices) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=services.url("order"), timeout=DEADLINE)


async def _logged(services: ThreeServices, text: str) -> bool:
    return text in services.processes["order"].log


async def _goes_on(services: ThreeServices, api: httpx.AsyncClient, under_way: list[str]) -> None:
    """Orders are taken again, those that were under way are confirmed, and the log speaks of nothing worse."""
    await until(lambda: taken(api), "orders are taken again")
    for location in under_way:
        await until(partial(settled, api, location), f"{location} is confirmed")
    log = services.processes["order"].log
    for worse in ("key parked", "dead letter", "request failed", "ended, because a part of it does not go on"):
        assert worse not in log
