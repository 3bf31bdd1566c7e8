"""The relays are woken after a commit, and no commit waits for that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from messaging.ports.changes import Creation
from messaging.ports.outbox import SHARDS, shard_of
from messaging.postgres.doorbell import CHANNEL, Doorbell
from messaging.postgres.outbox import PostgresOutbox
from order_service.domain.fulfilment import StockRejected
from tests.domain.orders import placed_order
from tests.order_store.conftest import handling, postgres_orders
from tests.real_parts.kafka import free_port
from tests.real_parts.waiting import DEADLINE

LAST = "the last one"


class Heard:
    """The notifications of a database, in their order."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._notifications: asyncio.Queue[str] = asyncio.Queue()

    def hear(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        """What asyncpg calls."""
        self._notifications.put_nowait(payload)

    async def next(self) -> str:
        """The next one. Waits for it."""
        async with asyncio.timeout(DEADLINE):
            return await self._notifications.get()

    async def so_far(self) -> list[str]:
        """All that were committed by now."""
        await self._connection.execute("select pg_notify($1, $2)", CHANNEL, LAST)
        return [each async for each in self._until_last()]

    async def _until_last(self) -> AsyncIterator[str]:
        while (payload := await self.next()) != LAST:
            yield payload


@asynccontextmanager
async def _listening(dsn: str) -> AsyncIterator[Heard]:
    connection = await asyncpg.connect(dsn)
    heard = Heard(connection)
    await connection.add_listener(CHANNEL, heard.hear)
    yield heard
    await connection.close()


def _doorbell(dsn: str) -> tuple[Doorbell, dict[int, asyncio.Event]]:
    woken = {shard: asyncio.Event() for shard in range(SHARDS)}
    return Doorbell(dsn, woken), woken


async def test_rings_that_come_together_are_one_notification_of_all_their_shards(database: str) -> None:
    doorbell, _ = _doorbell(database)
    async with _listening(database) as heard:
        for shard in (2, 0, 2, 1, 0):
            doorbell.ring([shard])

        assert await heard.next() == "0,1,2"
        await doorbell.close()
        assert await heard.so_far() == []


async def test_the_last_ring_is_sent_before_the_doorbell_closes(database: str) -> None:
    doorbell, _ = _doorbell(database)
    async with _listening(database) as heard:
        doorbell.ring([1])
        await doorbell.close()

        assert await heard.so_far() == ["1"]


async def test_a_relay_of_this_process_is_woken_without_the_database() -> None:
    doorbell, woken = _doorbell(f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")
    doorbell.here.add(3)

    doorbell.ring([3])

    assert [shard for shard, event in woken.items() if event.is_set()] == [3]
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "notification of relays"]


async def test_a_ring_while_the_database_is_away_is_lost_and_the_next_one_is_not(database: str) -> None:
    doorbell, _ = _doorbell(f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")
    doorbell.ring([1])
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "notification of relays"))
    doorbell._connection._dsn = database  # it is back
    async with _listening(database) as heard:
        doorbell.ring([2])

        assert await heard.next() == "2"
    await doorbell.close()


async def test_a_process_rings_at_its_own_relay_and_wakes_it(database: str) -> None:
    outbox = PostgresOutbox(database)
    async with _listening(database) as heard, outbox.own(1) as shard:
        await shard.oldest(1)
        waiting = asyncio.create_task(shard.wait())
        await asyncio.sleep(0)
        outbox.wake([1])
        for _ in range(10):  # steps of the loop; a poll would take 0.2 s
            await asyncio.sleep(0)
        assert waiting.done()
        await outbox.close()

        assert await heard.so_far() == []


async def test_no_commit_of_an_order_notifies_and_each_one_rings_for_its_messages(database: str) -> None:
    order, rung = placed_order(), list[int]()
    async with _listening(database) as heard, postgres_orders(database, wake=rung.extend) as orders:
        await orders.create(Creation(order, order.events))
        assert rung == [shard_of(str(order.id))]
        rung.clear()
        await orders.write(handling(order.id, StockRejected("none left")))
        assert rung == [shard_of(str(order.id))]

        assert await heard.so_far() == []
