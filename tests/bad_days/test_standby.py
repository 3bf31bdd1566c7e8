"""A name that points to a standby: nobody works there, and nobody who works elsewhere is disturbed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from messaging.engine.relay import Relay
from messaging.ports.changes import Created, Creation
from messaging.ports.outbox import SHARDS, Batch
from messaging.postgres.failures import PostgresFailures
from messaging.postgres.outbox import PostgresOutbox
from messaging.postgres.pool import open_pool
from messaging.runtime.migrations import migrate
from oms.cli import app
from order_service.infrastructure.database import MIGRATIONS
from tests.bad_days.test_failover import until_replayed
from tests.domain.orders import placed_order
from tests.messaging.conftest import commit_messages
from tests.messaging.messages import messages_in
from tests.messaging.records import failure, record
from tests.order_store.conftest import postgres_orders
from tests.real_parts.moving_name import moving_name
from tests.real_parts.postgres_cluster import Node, dsn_of_all, postgres_cluster
from tests.real_parts.waiting import DEADLINE


@pytest.fixture
def pair() -> Iterator[tuple[Node, Node]]:
    """A primary with the schema, and a standby that follows it asynchronously."""
    with postgres_cluster() as (primary, standby):
        yield primary, standby


@dataclass(slots=True)
class Publishers:
    """Those of one relay. Opening one fences whoever publishes the same shard."""

    opened: list[int] = field(default_factory=list)
    published: list[UUID] = field(default_factory=list)

    @asynccontextmanager
    async def open(self, shard: int) -> AsyncIterator["Publishers"]:
        """What a relay calls."""
        self.opened.append(shard)
        yield self

    async def publish(self, batch: Batch) -> None:
        """See EventPublisher."""
        self.published.extend(message.event_id for message in batch.messages)

    async def last_position(self) -> None:
        """See EventPublisher."""


@asynccontextmanager
async def _relay(dsn: str) -> AsyncIterator[Publishers]:
    publishers, outbox = Publishers(), PostgresOutbox(dsn)
    running = asyncio.create_task(Relay("order", outbox, publishers.open).run())
    try:
        yield publishers
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await outbox.close()


async def _until(satisfied: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE):
            while not satisfied():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited {DEADLINE:.0f} s for {what}") from None


async def test_everybody_finds_the_primary_among_several_hosts(pair: tuple[Node, Node]) -> None:
    primary, standby = pair
    hosts = dsn_of_all([standby, primary])
    await migrate(hosts, MIGRATIONS)
    order = placed_order()
    async with postgres_orders(hosts) as orders, open_pool(hosts) as pool, PostgresOutbox(hosts).own(0):
        assert await orders.create(Creation(order, order.events)) == Created()
        await PostgresFailures(pool).park([failure(record(str(order.id)))])
    for command in ("migrate order", "orders stuck", "parked list --service order"):
        ended = await asyncio.to_thread(
            CliRunner().invoke, app, command.split(), env={"ORDER_DATABASE_URL": hosts, "COLUMNS": "200"}
        )
        assert ended.exit_code == 0, ended.output
    assert str(order.id) in ended.output


async def test_a_relay_whose_database_is_a_standby_fences_nobody_says_so_and_goes_on_when_it_is_promoted(
    pair: tuple[Node, Node],
) -> None:
    primary, standby = pair
    await migrate(primary.dsn(), MIGRATIONS)
    await until_replayed(primary, standby)
    messages = [message for shard in range(SHARDS) for message in messages_in(shard, 2)]
    async with moving_name(primary) as name, AsyncExitStack() as relays:
        # `any` lets sessions in on a standby: then it is the relay itself that must see where it is.
        urls = (name.dsn(), name.dsn("&target_session_attrs=any"))
        strays = [await relays.enter_async_context(_relay(url)) for url in urls]
        await _until(lambda: sum(len(stray.opened) for stray in strays) >= SHARDS, "the relays to share the shards")
        live = await relays.enter_async_context(_relay(primary.dsn()))

        with capture_logs() as lines:
            name.move_to(standby)
            for stray in strays:
                stray.opened.clear()
            await _until(lambda: set(live.opened) == set(range(SHARDS)), "the other relay to take all shards over")
            await _until(lambda: sum("standby" in line.get("error", "") for line in lines) >= 12, "the log to say why")
        assert [stray.opened for stray in strays] == [[], []]

        await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(standby.promote)
        await commit_messages(standby.dsn(), messages)
        await _until(
            lambda: {each for stray in strays for each in stray.published} == {each.event_id for each in messages},
            "what waits on the promoted standby to be published",
        )
